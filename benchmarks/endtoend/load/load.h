/* load: WebSocket clients that measure a server. One thread, epoll, edge-triggered; OpenSSL for TLS, zlib to check.
 *
 * A mode decides what the clients do; peers move bytes and tell it what came. Payloads, masks and handshake keys are
 * random from a fixed seed. The first replies of every connection are compared byte by byte, of later ones the header
 * and the length. Wrong bytes, refused handshakes and lost connections are errors, and the program says so and fails.
 */
#ifndef LOAD_H
#define LOAD_H

#include <openssl/ssl.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, FIN = 0x80, RSV1 = 0x40 };
enum { HEAD_ROOM = 14, CONTROL_ROOM = 125, CHECKED_AT_LEAST = 32 };

typedef enum { SHUT, CONNECTING, SECURING, UPGRADING, OPEN } stage;
typedef struct peer peer;

/* What the command line says. Times are seconds. */
typedef struct {
    const char *mode, *host, *path, *authority;
    int port, connections, depth, concurrency, warm_connections, pid;
    size_t size;
    double seconds, warmup, settle, limit;
    int text, json, bursts, deflate;
    uint64_t seed;
} options;

/* What a connection does once it is open, and when messages come. `asked` and `got` of the peer count messages. */
typedef struct {
    const char *name;
    int (*run)(void);
    void (*opened)(peer *);
    void (*message)(peer *);
    void (*closing)(peer *); /* a Close frame came; absent: an error */
    void (*ended)(peer *);   /* the end of the stream came; absent: an error */
} mode;

struct peer {
    int fd;
    stage stage;
    SSL *ssl;
    char *request, *response; /* only while upgrading */
    size_t request_sent, request_length, response_got;
    char accept[32];
    uint64_t phase;      /* where in the circle of frames this peer begins */
    uint64_t asked, got; /* messages due to be sent, messages received whole */
    uint64_t missed;     /* in fan-out: what went out before the server counted this peer in */
    uint64_t sent;       /* bytes of messages */
    uint64_t *since;     /* when each message in flight was asked for */
    uint64_t begun;      /* when the connection was begun */
    uint8_t extra[2 * (CONTROL_ROOM + HEAD_ROOM)];
    size_t extra_length; /* control frames that wait for the end of a message */
    uint8_t head[HEAD_ROOM], have, need, in_frame, compressed, takeover;
    uint64_t length, left;
    uint8_t *collected; /* the payload of a control frame, or of a compressed message that is checked */
    void *inflater;
};

extern options opt;
extern const mode *running;
extern peer *peers;
extern long errors, pings;
extern uint64_t clock_ns;
extern int enough; /* a callback sets it to end the turn */

/* figures.c: clock, histogram, and what the server's processes use */
uint64_t now(void);
void note(uint64_t ns);
void forget(void);
double percentile(double part); /* microseconds */
double tree_cpu(int pid);       /* seconds, of the process, all its threads and children */
double own_cpu(void);
double tree_rss(int pid); /* bytes */

typedef struct { uint64_t at; double server, own; } mark;
mark take_mark(void);
/* What passed since `from`: seconds, CPU of both sides a unit; printed as JSON fields. */
void print_since(mark from, double units, const char *unit);
void print_latency(const char *what);

/* content.c: what is sent, and what must come back */
extern uint8_t *circle; /* frames, twice over, so that any burst is in one piece */
extern size_t circle_frames, frame_length;
uint64_t random_bits(void);
void make_content(void);
const uint8_t *payload_of(const peer *p, uint64_t index);
size_t make_control(uint8_t *out, int opcode, const uint8_t *payload, size_t length);
void make_request(peer *p);
uint64_t checked(void); /* how many replies of a connection are compared byte by byte */

/* peers.c: connections */
void prepare_peers(int count);
void start(peer *p);
void shut(peer *p);
void flush(peer *p);
void ask(peer *p, int messages);
void send_control(peer *p, int opcode, const uint8_t *payload, size_t length);
void fail(peer *p, const char *what);
void turn(uint64_t until); /* until then, or until `enough` */
int open_all(int count);   /* all of them, `concurrency` at a time; 0 if that fails */

/* link.c: bytes through a socket or TLS. -1: not now; 0: the end; -2: broken */
void prepare_tls(void);
int link_connect(peer *p);
int link_secure(peer *p); /* 1: done */
ssize_t link_read(peer *p, void *into, size_t room);
ssize_t link_write(peer *p, const void *from, size_t length);

/* frames.c: from bytes to messages */
void scan(peer *p, const uint8_t *data, size_t length);
void forget_frame(peer *p);

extern const mode echo_mode, fanout_mode, handshakes_mode, idle_mode;

#endif
