/* A server that takes connections on port 2380 and looks at its clocks all the time. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_CONNECTIONS = 500, LOOK_EVERY_MS = 20 };

int main(void) {
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons(2380)};
    int connections[MOST_CONNECTIONS] = {0};
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&any, sizeof any) || listen(listener, 64)) {
        perror("listener");
        return 1;
    }
    for (unsigned next = 0;;) {
        struct timespec now;
        struct pollfd ready = {.fd = listener, .events = POLLIN};
        clock_gettime(CLOCK_REALTIME, &now);
        clock_gettime(CLOCK_MONOTONIC, &now);
        if (poll(&ready, 1, LOOK_EVERY_MS) > 0) {
            int *slot = &connections[next++ % MOST_CONNECTIONS];
            if (*slot > 0) close(*slot);
            *slot = accept(listener, 0, 0);
        }
    }
}
