"""From engagement logs to a trained model, and to a verdict on its forecasts.

from pulsecast_train import evaluate, train
train("mentions.csv", out="model")
"""

from __future__ import annotations

from pulsecast.foundation.lazy import lazily

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .backtesting.bundle_scores import BundleScores
    from .backtesting.config import EvaluateConfig
    from .backtesting.result import Evaluation
    from .evaluation import evaluate, evaluate_bundle
    from .fetching.fetch import fetch
    from .fetching.limits import FetchLimits
    from .logs.as_trained import read_as_trained
    from .logs.config import LogConfig
    from .logs.generator import generate_log
    from .logs.looking.look import Look, look
    from .logs.reader import ReadLog, read_log
    from .predicting.result import BatchForecasts
    from .prediction import predict_logs
    from .recipes.train_config import RunConfig, TrainConfig, read_config
    from .rhythm.cycles import Rhythm, find_rhythm
    from .run import Trained, train
    from .series import Series

# name -> module. Each is imported on first use (PEP 562): Keras takes seconds.
_HOME = {
    "BatchForecasts": "predicting.result",
    "BundleScores": "backtesting.bundle_scores",
    "EvaluateConfig": "backtesting.config",
    "Evaluation": "backtesting.result",
    "FetchLimits": "fetching.limits",
    "LogConfig": "logs.config",
    "Look": "logs.looking.look",
    "ReadLog": "logs.reader",
    "Rhythm": "rhythm.cycles",
    "RunConfig": "recipes.train_config",
    "Series": "series",
    "TrainConfig": "recipes.train_config",
    "Trained": "run",
    "evaluate": "evaluation",
    "evaluate_bundle": "evaluation",
    "fetch": "fetching.fetch",
    "find_rhythm": "rhythm.cycles",
    "generate_log": "logs.generator",
    "look": "logs.looking.look",
    "predict_logs": "prediction",
    "read_as_trained": "logs.as_trained",
    "read_config": "recipes.train_config",
    "read_log": "logs.reader",
    "train": "run",
}
__all__ = [
    "BatchForecasts",
    "BundleScores",
    "EvaluateConfig",
    "Evaluation",
    "FetchLimits",
    "LogConfig",
    "Look",
    "ReadLog",
    "Rhythm",
    "RunConfig",
    "Series",
    "TrainConfig",
    "Trained",
    "evaluate",
    "evaluate_bundle",
    "fetch",
    "find_rhythm",
    "generate_log",
    "look",
    "predict_logs",
    "read_as_trained",
    "read_config",
    "read_log",
    "train",
]

__getattr__, __dir__ = lazily(globals(), _HOME)
