"""What a model computes, with numpy alone: the reference forecast, calendar columns, intervals."""
