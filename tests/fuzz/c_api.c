/* Reads operations from the fuzzer's bytes and does them on one state and three streams. Every promise of model.h that
 * another function can check is checked; a difference ends the process. */
#include "model.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = MODEL_CONTEXT * MODEL_MEASURED, STREAMS = 3, WINDOWS = 5 };
static const unsigned char *at;
static size_t left;

static void take(void *to, size_t size) {
    size_t n = size < left ? size : left;
    memset(to, 0, size);
    memcpy(to, at, n);
    at += n;
    left -= n;
}

static int64_t number(void) {
    int64_t found;
    take(&found, sizeof found);
    return found;
}

/* The same bits, or both not a number: a calculation may give NaN of either sign. */
static void same(const float *a, const float *b, size_t count) {
    size_t i;
    for (i = 0; i < count; i++)
        if (memcmp(a + i, b + i, sizeof *a) && !(isnan(a[i]) && isnan(b[i]))) abort();
}

/* Is a result not a number? Near float32's end one step of the horizon may be, and another not. */
static int broken(float out[3][MODEL_HORIZON]) {
    int j, k, bad = 0;
    for (k = 0; k < MODEL_RESULTS; k++)
        for (j = 0; j < MODEL_HORIZON; j++) bad |= isnan(out[k][j]) != 0;
    return bad;
}

/* The code says whether a result is not a number; none is infinite; the bounds of each step are in order. */
static void sane(float out[3][MODEL_HORIZON], int code) {
    int j, k;
    if (code != broken(out)) abort();
    for (k = 0; k < MODEL_RESULTS; k++)
        for (j = 0; j < MODEL_HORIZON; j++)
            if (isinf(out[k][j])) abort();
    for (j = 0; MODEL_RESULTS > 1 && j < MODEL_HORIZON; j++)
        if (out[1][j] > out[2][j]) abort(); /* no if one of them is not a number */
}

static void windows(void) {
    static float values[WINDOWS][SIZE], batch[3][WINDOWS][MODEL_HORIZON], one[3][MODEL_HORIZON];
    static model_state state;
    int64_t time[WINDOWS], series[WINDOWS];
    size_t bad = 0, i, k, count;
    unsigned char chosen;
    take(&chosen, 1);
    count = chosen % (WINDOWS + 1);
    for (i = 0; i < count; i++) {
        take(values[i], sizeof values[i]);
        time[i] = number();
        if (chosen & 64) time[i] = (int64_t)((uint64_t)time[i] % 4000000000u);
        series[i] = chosen & 128 ? number() : 0;
    }
    size_t said = model_predict_batch(values[0], time, series, count, batch[0][0], batch[1][0], batch[2][0]);
    for (i = 0; i < count; i++) {
        int code = model_predict(values[i], time[i], series[i], one[0], one[1], one[2]);
        sane(one, code);
        bad += code != 0;
        for (k = 0; k < MODEL_RESULTS; k++) same(one[k], batch[k][i], MODEL_HORIZON);
        if (code) continue; /* a time may be one that has no steps before it */
        model_reset(&state, series[i]);
        for (k = 0; k < MODEL_CONTEXT; k++)
            model_step(&state, values[i] + k * MODEL_MEASURED,
                       time[i] - (int64_t)(MODEL_CONTEXT - 1 - k) * MODEL_STEP_SECONDS, one[0], one[1], one[2]);
        for (k = 0; k < MODEL_RESULTS; k++) same(one[k], batch[k][i], MODEL_HORIZON);
    }
    if (bad != said) abort();
}

/* A stream's forecast is that of its saved window; a stream that is rebuilt from it goes on as this one does. */
static void check(const model_stream *stream, float out[3][MODEL_HORIZON]) {
    static float saved[SIZE], again[SIZE], window[3][MODEL_HORIZON], rebuilt[3][MODEL_HORIZON];
    static model_stream other;
    int64_t last, first, k;
    if (model_stream_save(stream, saved, &last) != MODEL_CONTEXT || last == MODEL_NEXT) return;
    if (!isnan(out[0][0])) {
        sane(out, model_predict(saved, last, 0, window[0], window[1], window[2]));
        for (k = 0; k < MODEL_RESULTS; k++) same(window[k], out[k], MODEL_HORIZON);
    }
    if (last < 0) return; /* the first of the rebuilt steps may lie before all years */
    first = last - (int64_t)(MODEL_CONTEXT - 1) * MODEL_STEP_SECONDS;
    model_stream_reset(&other, 0);
    for (k = 0; k < MODEL_CONTEXT; k++)
        model_stream_push(&other, 1, saved + k * MODEL_MEASURED, first + k * MODEL_STEP_SECONDS, rebuilt[0], rebuilt[1],
                          rebuilt[2]);
    model_stream_save(&other, again, &last);
    same(saved, again, SIZE);
    if (!isnan(out[0][0]))
        for (k = 0; k < MODEL_RESULTS; k++) same(rebuilt[k], out[k], MODEL_HORIZON);
}

static void push(model_stream *streams, int64_t time) {
    static float rows[STREAMS][MODEL_MEASURED], out[3][STREAMS][MODEL_HORIZON], one[3][MODEL_HORIZON];
    size_t bad = 0, i, k, said;
    take(rows[0], sizeof rows[0]);
    for (i = 1; i < STREAMS; i++) memcpy(rows[i], rows[0], sizeof rows[0]);
    if (left % 7 == 0) rows[1][0] = NAN;
    said = model_stream_push(streams, STREAMS, rows[0], time, out[0][0], out[1][0], out[2][0]);
    for (i = 0; i < STREAMS; i++) {
        for (k = 0; k < 3; k++) memcpy(one[k], out[k][i], sizeof one[k]);
        sane(one, broken(one));
        bad += (size_t)broken(one);
        if (i < 2 && left % 5 == 0) check(streams + i, one);
    }
    if (bad != said) abort();
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size) {
    static model_stream streams[STREAMS];
    int64_t time = 1736121600;
    size_t i;
    at = data;
    left = size;
    for (i = 0; i < STREAMS; i++) model_stream_reset(streams + i, i == 2 ? number() : 0);
    while (left) {
        unsigned char what;
        take(&what, 1);
        switch (what & 7) {
        case 0: windows(); break;
        case 1: push(streams, time += MODEL_STEP_SECONDS); break;
        case 2: push(streams, MODEL_NEXT); break;
        case 3: push(streams, time = number()); break;
        case 4: push(streams, time += (int64_t)(what >> 3) * MODEL_STEP_SECONDS); break;
        case 5: model_stream_settle(streams, STREAMS); break;
        case 6: model_stream_reset(streams + (what >> 3) % STREAMS, 0); break;
        default: push(streams, time + (what >> 3)); break;
        }
    }
    return 0;
}
