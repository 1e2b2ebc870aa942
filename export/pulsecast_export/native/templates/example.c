/* Forecasts for a CSV: `./example < steps.csv`. A line is a step, oldest first, with the MODEL_FEATURES values that
 * model.h lists, separated by commas; a first line that is no numbers is a heading. From the line that completes a
 * window on, each line gives one: its number, then the MODEL_HORIZON next steps' forecasts. */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>

static model_stream stream; /* static: it is too large for small stacks */

/* Returns whether `line` holds exactly MODEL_FEATURES numbers. */
static int parsed(char *line, float *step) {
    int i;
    for (i = 0; i < MODEL_FEATURES; i++) {
        char *end;
        step[i] = strtof(line, &end);
        while (*end == ' ' || *end == '\t' || *end == '\r' || *end == '\n') end++;
        if (end == line || *end != (i + 1 < MODEL_FEATURES ? ',' : '\0')) return 0;
        line = end + 1;
    }
    return 1;
}

int main(void) {
    static char line[1 << 16];
    float step[MODEL_FEATURES], forecast[MODEL_HORIZON];
    unsigned long number = 0, steps = 0;
    int i;
    model_stream_reset(&stream);
    while (fgets(line, sizeof line, stdin)) {
        number++;
        if (!parsed(line, step)) {
            if (number == 1) continue; /* a heading */
            fprintf(stderr, "line %lu is not %d numbers separated by commas\n", number, MODEL_FEATURES);
            return 1;
        }
        model_stream_push(&stream, 1, step, forecast);
        if (++steps < MODEL_CONTEXT) continue;
        printf("%lu", number);
        for (i = 0; i < MODEL_HORIZON; i++) printf(",%.9g", (double)forecast[i]);
        printf("\n");
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
