/*
 * The floor: start COUNT times /bin/true with at most WIDTH in flight, keep nothing, tell nobody.
 * Prints the seconds that took, or with WIDTH 1 and a third argument the seconds of each.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void start(void)
{
    char *arguments[] = {"/bin/true", NULL};
    pid_t pid;
    int error = posix_spawn(&pid, "/bin/true", NULL, NULL, arguments, environ);

    if (error != 0) {
        fprintf(stderr, "loop: cannot start /bin/true: %s\n", strerror(error));
        exit(1);
    }
}

static void await(void)
{
    int status;

    while (wait(&status) < 0)
        if (errno != EINTR) {
            perror("loop: wait");
            exit(1);
        }
    if (status != 0) {
        fprintf(stderr, "loop: /bin/true ended with status %d\n", status);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    int width, count, started = 0, ended = 0;
    double begun;

    if (argc < 3 || (width = atoi(argv[1])) < 1 || (count = atoi(argv[2])) < 1) {
        fprintf(stderr, "usage: loop WIDTH COUNT [each]\n");
        return 2;
    }
    if (argc > 3) {
        while (count-- > 0) {
            begun = now();
            start();
            await();
            printf("%.9f\n", now() - begun);
        }
        return 0;
    }
    begun = now();
    while (ended < count) {
        while (started < count && started - ended < width) {
            start();
            started++;
        }
        await();
        ended++;
    }
    printf("%.9f\n", now() - begun);
    return 0;
}
