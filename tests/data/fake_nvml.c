/* NVIDIA's management library as far as the engine calls it, over a machine described in a file.
 *
 * FAKE_NVML_FILE names the file. It is read on every call, so that a test can change the machine while a program
 * watches it; without the variable or the file there is no GPU. A line is one of
 *
 *     gpu UUID TOTAL_MIB USED_MIB MODE MIG NAME...   MODE as nvmlComputeMode_t; MIG: -1 not supported, 0 off, 1 on
 *     mig PARENT_UUID UUID TOTAL_MIB USED_MIB NAME...
 *     process UUID PID USED_MIB                      USED_MIB -1: the driver does not tell
 *     gauges UUID GPU MEMORY TEMP MW LIMIT_MW SM_MHZ MEMORY_MHZ    of a GPU that has them
 *     init CODE                                      what nvmlInit_v2 returns
 *
 * A handle stays with its UUID: asked for a device that the file no longer has, every call says that it is lost.
 * Struct layouts and numbers are those of nvml.h (NVML API Reference Guide, driver 510 and later).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SUCCESS = 0,
    INVALID_ARGUMENT = 2,
    NOT_SUPPORTED = 3,
    NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7,
    GPU_IS_LOST = 15,
    ARGUMENT_VERSION_MISMATCH = 25,
};
enum { DEVICES = 128, PROCESSES = 256, MIG_PER_GPU = 7, LINE = 512 };

typedef struct {
    char uuid[80], parent[80], name[96]; /* parent is empty for a whole GPU */
    unsigned long long total, used;
    unsigned mode;
    int mig;
} Device;
typedef struct {
    char uuid[80];
    unsigned pid;
    unsigned long long used;
} Process;
typedef struct {
    char uuid[80];
    unsigned gpu, memory, temp, power, limit, sm, memory_clock;
} Gauges;
typedef struct {
    int init, devices, processes, gauges;
    Device device[DEVICES];
    Process process[PROCESSES];
    Gauges gauge[DEVICES];
} Machine;

static unsigned long long bytes(long long mib) {
    return mib < 0 ? ~0ULL : (unsigned long long)mib << 20;
}

static void take(Machine *m, const char *line) {
    long long total = 0, used = 0;
    Device d = {.mig = -1};
    Process p = {.pid = 0};
    Gauges g = {.gpu = 0};
    if (m->devices < DEVICES && sscanf(line, "gpu %79s %lld %lld %u %d %95[^\n]", d.uuid, &total, &used, &d.mode,
                                       &d.mig, d.name) == 6) {
        d.total = bytes(total), d.used = bytes(used);
        m->device[m->devices++] = d;
    } else if (m->devices < DEVICES && sscanf(line, "mig %79s %79s %lld %lld %95[^\n]", d.parent, d.uuid, &total,
                                              &used, d.name) == 5) {
        d.total = bytes(total), d.used = bytes(used);
        m->device[m->devices++] = d;
    } else if (m->processes < PROCESSES && sscanf(line, "process %79s %u %lld", p.uuid, &p.pid, &used) == 3) {
        p.used = bytes(used);
        m->process[m->processes++] = p;
    } else if (m->gauges < DEVICES && sscanf(line, "gauges %79s %u %u %u %u %u %u %u", g.uuid, &g.gpu, &g.memory, &g.temp,
                                             &g.power, &g.limit, &g.sm, &g.memory_clock) == 8) {
        m->gauge[m->gauges++] = g;
    } else {
        sscanf(line, "init %d", &m->init);
    }
}

/* The machine as the file has it now; to be freed. */
static Machine *machine(void) {
    Machine *m = calloc(1, sizeof *m);
    const char *path = getenv("FAKE_NVML_FILE");
    FILE *file = path ? fopen(path, "r") : NULL;
    char line[LINE];
    while (m && file && fgets(line, sizeof line, file)) take(m, line);
    if (file) fclose(file);
    return m;
}

/* Handles: a UUID's place in this table, plus one. */
static char known[DEVICES][80];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static int handle_of(const char *uuid, void **handle) {
    int result = INVALID_ARGUMENT;
    pthread_mutex_lock(&lock);
    for (long i = 0; i < DEVICES; i++) {
        if (!known[i][0]) strcpy(known[i], uuid);
        if (strcmp(known[i], uuid) == 0) {
            *handle = (void *)(i + 1);
            result = SUCCESS;
            break;
        }
    }
    pthread_mutex_unlock(&lock);
    return result;
}

/* The device behind a handle, in its machine, which the caller frees; `why` says why there is none. */
static Device *device_of(void *handle, Machine **m, int *why) {
    long at = (long)handle - 1;
    *m = machine();
    *why = INVALID_ARGUMENT;
    if (!*m || at < 0 || at >= DEVICES || !known[at][0]) return NULL;
    *why = GPU_IS_LOST;
    for (int i = 0; i < (*m)->devices; i++)
        if (strcmp((*m)->device[i].uuid, known[at]) == 0) return &(*m)->device[i];
    return NULL;
}

/* A call about one device: what follows sees it as `d` and its machine as `m`, and sets `result`. */
#define ABOUT(handle, ...)                         \
    do {                                          \
        Machine *m;                               \
        int result;                               \
        Device *d = device_of(handle, &m, &result); \
        if (d) {                                  \
            result = SUCCESS;                     \
            __VA_ARGS__                           \
        }                                         \
        free(m);                                  \
        return result;                            \
    } while (0)

int nvmlInit_v2(void) {
    Machine *m = machine();
    int result = m ? m->init : INVALID_ARGUMENT;
    free(m);
    return result;
}

int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int result) {
    (void)result;
    return "an error of the stand-in";
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    snprintf(text, length, "570.86.10");
    return SUCCESS;
}

/* The n-th whole GPU, or MIG device of a GPU. */
static Device *nth(Machine *m, const char *parent, unsigned n) {
    for (int i = 0; m && i < m->devices; i++)
        if (strcmp(m->device[i].parent, parent) == 0 && n-- == 0) return &m->device[i];
    return NULL;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    Machine *m = machine();
    for (*count = 0; nth(m, "", *count); ++*count) {}
    free(m);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    Machine *m = machine();
    Device *d = nth(m, "", index);
    int result = d ? handle_of(d->uuid, handle) : INVALID_ARGUMENT;
    free(m);
    return result;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    Machine *m = machine();
    int result = NOT_FOUND;
    for (int i = 0; m && i < m->devices; i++)
        if (strcmp(m->device[i].uuid, uuid) == 0) result = handle_of(uuid, handle);
    free(m);
    return result;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned length) {
    ABOUT(handle, { snprintf(text, length, "%s", d->uuid); });
}

int nvmlDeviceGetName(void *handle, char *text, unsigned length) {
    ABOUT(handle, { snprintf(text, length, "%s", d->name); });
}

typedef struct {
    unsigned version;
    unsigned long long total, reserved, free, used;
} Memory;

int nvmlDeviceGetMemoryInfo_v2(void *handle, Memory *memory) {
    if (memory->version != (sizeof *memory | 2u << 24)) return ARGUMENT_VERSION_MISMATCH;
    ABOUT(handle, {
        memory->total = d->total, memory->reserved = 0;
        memory->used = d->used < d->total ? d->used : d->total;
        memory->free = d->total - memory->used;
    });
}

int nvmlDeviceGetComputeMode(void *handle, unsigned *mode) {
    ABOUT(handle, {
        *mode = d->mode;
        if (d->parent[0]) result = NOT_SUPPORTED;
    });
}

int nvmlDeviceGetMigMode(void *handle, unsigned *current, unsigned *pending) {
    ABOUT(handle, {
        *current = *pending = d->mig == 1;
        if (d->mig < 0) result = NOT_SUPPORTED;
    });
}

int nvmlDeviceGetMaxMigDeviceCount(void *handle, unsigned *count) {
    ABOUT(handle, { *count = d->mig < 0 ? 0 : MIG_PER_GPU; });
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *handle, unsigned index, void **mig) {
    ABOUT(handle, {
        Device *found = d->mig == 1 ? nth(m, d->uuid, index) : NULL;
        result = found ? handle_of(found->uuid, mig) : NOT_FOUND;
    });
}

typedef struct {
    unsigned pid;
    unsigned long long used;
    unsigned gpu_instance, compute_instance;
} ProcessInfo;

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, ProcessInfo *infos) {
    ABOUT(handle, {
        unsigned room = infos ? *count : 0;
        *count = 0;
        for (int i = 0; i < m->processes; i++) {
            if (strcmp(m->process[i].uuid, d->uuid) != 0) continue;
            if (*count < room) infos[*count] = (ProcessInfo){m->process[i].pid, m->process[i].used, ~0u, ~0u};
            ++*count;
        }
        if (*count > room) result = INSUFFICIENT_SIZE;
    });
}

/* A call about the gauges of one device, seen as `g`. */
#define GAUGE(handle, ...)                                                   \
    ABOUT(handle, {                                                          \
        Gauges *g = NULL;                                                    \
        for (int i = 0; i < m->gauges; i++)                                  \
            if (strcmp(m->gauge[i].uuid, d->uuid) == 0) g = &m->gauge[i];    \
        result = NOT_SUPPORTED;                                              \
        if (g) {                                                             \
            result = SUCCESS;                                                \
            __VA_ARGS__                                                      \
        }                                                                    \
    })

typedef struct {
    unsigned gpu, memory;
} Utilization;

int nvmlDeviceGetUtilizationRates(void *handle, Utilization *rates) {
    GAUGE(handle, { *rates = (Utilization){g->gpu, g->memory}; });
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    if (sensor != 0) return INVALID_ARGUMENT;
    GAUGE(handle, { *celsius = g->temp; });
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    GAUGE(handle, { *milliwatts = g->power; });
}

int nvmlDeviceGetEnforcedPowerLimit(void *handle, unsigned *milliwatts) {
    GAUGE(handle, { *milliwatts = g->limit; });
}

enum { CLOCK_SM = 1, CLOCK_MEM = 2 };

int nvmlDeviceGetClockInfo(void *handle, int type, unsigned *mhz) {
    if (type != CLOCK_SM && type != CLOCK_MEM) return NOT_SUPPORTED;
    GAUGE(handle, { *mhz = type == CLOCK_SM ? g->sm : g->memory_clock; });
}
