/* In C: cc -O2 -Ibundle/native forecast.c bundle/native/model.c -o forecast && ./forecast TIME < counts.txt */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    float values[MODEL_CONTEXT], forecast[MODEL_HORIZON], lower[MODEL_HORIZON], upper[MODEL_HORIZON];
    char *end = argv[argc - 1]; /* of a TIME that is a whole number: unix seconds (UTC) of the last count */
    const int64_t time = argc == 2 ? strtoll(argv[1], &end, 10) : 0;
    int i = 0;
    while (i < MODEL_CONTEXT && scanf("%f", values + i) == 1) i++; /* exactly so many, oldest first */
    if (argc != 2 || end == argv[1] || *end || i < MODEL_CONTEXT || scanf(" %*c") != EOF) return 2;
    if (model_predict(values, time, 0, forecast, lower, upper)) return 1; /* NaN: no forecast */
    for (i = 0; i < MODEL_HORIZON; i++)
        printf("%.9g %.9g %.9g\n", (double)forecast[i], (double)lower[i], (double)upper[i]);
    return 0;
}
