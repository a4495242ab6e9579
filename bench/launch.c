/* launch RESULT PROGRAM [ARGUMENT...]: runs PROGRAM and writes "status wall_s cpu_s rss_kb" into
 * RESULT. Small on purpose: ru_maxrss also counts the process that forked, up to the exec, and the
 * benchmark itself is larger than what it measures. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double seconds(long s, long fraction, double unit) { return (double)s + (double)fraction / unit; }

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct timespec from, to;
  struct rusage usage;
  int status = 0;
  clock_gettime(CLOCK_MONOTONIC, &from);
  const pid_t child = fork();
  if (child == 0) {
    execvp(argv[2], argv + 2);
    perror(argv[2]);
    _exit(127);
  }
  if (child < 0 || wait4(child, &status, 0, &usage) < 0) return 1;
  clock_gettime(CLOCK_MONOTONIC, &to);
  FILE *result = fopen(argv[1], "w");
  if (!result) return 1;
  fprintf(result, "%d %.6f %.6f %ld\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          seconds(to.tv_sec - from.tv_sec, to.tv_nsec - from.tv_nsec, 1e9),
          seconds(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec,
                  usage.ru_utime.tv_usec + usage.ru_stime.tv_usec, 1e6),
          usage.ru_maxrss);
  return fclose(result) != 0;
}
