/* What containerd reads of a cgroup for one sample, at least: github.com/containerd/cgroups at 360fd8b, Stat() in
 * cgroup2/manager.go. Each file is opened by its path, read to its end, and all its numbers are taken.
 *
 *     seventeen DIRECTORY COUNT ROUNDS      prints how many of the files there are, and nanoseconds per cgroup, each round
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static const char *const names[17] = {
    "pids.current",      "pids.max",        "cpu.stat",         "cpu.pressure",        "memory.stat",
    "memory.current",    "memory.max",      "memory.peak",      "memory.swap.current", "memory.swap.max",
    "memory.swap.peak",  "memory.pressure", "memory.events",    "io.stat",             "io.pressure",
    "rdma.current",      "rdma.max",
};

static unsigned long long sink;

static int take(const char *path) {
    char buffer[16384];
    size_t length = 0;
    ssize_t count;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    while ((count = read(file, buffer + length, sizeof buffer - 1 - length)) > 0)
        length += (size_t)count;
    close(file);
    buffer[length] = 0;
    for (char *at = buffer; *at;) {
        if (*at >= '0' && *at <= '9')
            sink += strtoull(at, &at, 10);
        else
            at++;
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    int count = atoi(argv[2]), found = 0;
    for (int round = atoi(argv[3]); round > 0; round--) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        found = 0;
        for (int at = 0; at < count; at++) {
            for (int name = 0; name < 17; name++) {
                char path[256];
                snprintf(path, sizeof path, "%s/%d/%s", argv[1], at, names[name]);
                found += take(path);
            }
        }
        clock_gettime(CLOCK_MONOTONIC, &end);
        printf("%d %.0f\n", found / count,
               ((end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec)) / count);
    }
    return sink == 0;
}
