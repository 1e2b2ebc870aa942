/* In C: cc -O2 -Ibundle/native forecast.c bundle/native/model.c -o forecast && ./forecast TIME < counts.txt */
#include "model.h"
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
    float values[MODEL_CONTEXT], forecast[MODEL_HORIZON], lower[MODEL_HORIZON], upper[MODEL_HORIZON];
    int i;
    if (argc != 2) return 2;
    for (i = 0; i < MODEL_CONTEXT; i++) /* oldest first */
        if (scanf("%f", values + i) != 1) return 2;
    if (model_predict(values, atoll(argv[1]), 0, forecast, lower, upper)) return 1; /* NaN: no forecast */
    for (i = 0; i < MODEL_HORIZON; i++)
        printf("%.9g %.9g %.9g\n", (double)forecast[i], (double)lower[i], (double)upper[i]);
    return 0;
}
