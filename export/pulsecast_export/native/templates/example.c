/* Forecasts for a CSV: `./example < steps.csv`. A line is a step, oldest first: its time in unix seconds (UTC), then the
 * MODEL_MEASURED values that model.h lists, separated by commas; a first line that holds no numbers is a heading. Each
 * line that completes a window gives one: its time, the MODEL_HORIZON next steps' forecasts, and where MODEL_RESULTS is 3
 * as many lower and as many upper bounds. A step that is missing from the file, or not finite, is in no window that does.
 * Where MODEL_SERIES is more than 1, `./example ROW` forecasts the series of that row; without it the pool, row 0. */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>

static model_stream stream; /* static: it is too large for small stacks */
static float results[3][MODEL_HORIZON];

/* Goes past `end` of a number and what must follow it, or returns NULL. */
static char *beyond(char *line, char *end, char separator) {
    if (end == line) return NULL;
    while (*end == ' ' || *end == '\t' || *end == '\r' || *end == '\n') end++;
    return *end == separator ? end + 1 : NULL;
}

/* Returns whether `line` holds exactly a time and MODEL_MEASURED numbers. */
static int parsed(char *line, int64_t *time, float *values) {
    char *end;
    int i;
    *time = strtoll(line, &end, 10);
    line = beyond(line, end, ',');
    for (i = 0; line && i < MODEL_MEASURED; i++) {
        values[i] = strtof(line, &end);
        line = beyond(line, end, i + 1 < MODEL_MEASURED ? ',' : '\0');
    }
    return line != NULL;
}

static void print(int64_t time) {
    int i, j;
    printf("%lld", (long long)time);
    for (i = 0; i < MODEL_RESULTS; i++)
        for (j = 0; j < MODEL_HORIZON; j++) printf(",%.9g", (double)results[i][j]);
    printf("\n");
}

int main(int argc, char **argv) {
    static char line[1 << 16];
    float values[MODEL_MEASURED];
    int64_t time, last = 0;
    unsigned long number = 0, steps = 0;
    if (model_stream_reset(&stream, argc > 1 ? strtoll(argv[1], NULL, 10) : 0)) {
        fprintf(stderr, "no series %s; expected 0 to %d\n", argv[1], MODEL_SERIES - 1);
        return 1;
    }
    while (fgets(line, sizeof line, stdin)) {
        number++;
        if (!parsed(line, &time, values)) {
            if (number == 1) continue; /* a heading */
            fprintf(stderr, "line %lu is not a time and %d numbers separated by commas\n", number, MODEL_MEASURED);
            return 1;
        }
        if (time < INT64_C(-62135596800) || time >= INT64_C(253402300800)) {
            fprintf(stderr, "line %lu: its time lies beyond the years 1 to 9999; it takes unix seconds\n", number);
            return 1;
        }
        if (steps++ && (time <= last || (time - last) % MODEL_STEP_SECONDS)) {
            fprintf(stderr, "line %lu: its time is not %d s, or a multiple, after the last one\n", number,
                    MODEL_STEP_SECONDS);
            return 1;
        }
        last = time;
        if (!model_stream_push(&stream, 1, values, time, results[0], results[1], results[2])) print(time);
    }
    return ferror(stdin) || fflush(stdout) ? 1 : 0;
}
