/* Bytes through a socket, or through TLS on it. */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A source address has some 28,000 ports, and those of closed connections stay taken for a minute. */
enum { PORTS_OF_AN_ADDRESS = 8192, ADDRESSES = 200 };

static SSL_CTX *tls;
static uint32_t begun;

void prepare_tls(void) {
    if (!opt.authority) return;
    tls = SSL_CTX_new(TLS_client_method());
    if (!tls || SSL_CTX_load_verify_locations(tls, opt.authority, NULL) != 1) {
        ERR_print_errors_fp(stderr);
        exit(2);
    }
    SSL_CTX_set_verify(tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
}

static void bind_source(int fd, in_addr_t server) {
    int yes = 1;
    if ((ntohl(server) >> 24) != 127) return;
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + begun++ / PORTS_OF_AN_ADDRESS % ADDRESSES);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    (void)!bind(fd, (void *)&from, sizeof from);
}

static void begin_tls(peer *p) {
    if (!tls) return;
    p->ssl = SSL_new(tls);
    SSL_set_fd(p->ssl, p->fd);
    SSL_set_connect_state(p->ssl);
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(p->ssl), opt.host);
}

int link_connect(peer *p) {
    int yes = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)opt.port)};
    if (inet_pton(AF_INET, opt.host, &to.sin_addr) != 1) return 0;
    p->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (p->fd < 0) return 0;
    setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    bind_source(p->fd, to.sin_addr.s_addr);
    begin_tls(p);
    return connect(p->fd, (void *)&to, sizeof to) == 0 || errno == EINPROGRESS;
}

static ssize_t outcome_of(peer *p, int result) {
    switch (SSL_get_error(p->ssl, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return -1;
    case SSL_ERROR_ZERO_RETURN: return 0;
    }
    /* Many servers leave without a close_notify; for us the end of the stream is the end. */
    int eof = ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING;
    ERR_clear_error();
    return eof ? 0 : -2;
}

int link_secure(peer *p) {
    int done = SSL_do_handshake(p->ssl);
    return done == 1 ? 1 : outcome_of(p, done) == -1 ? 0 : -1;
}

static ssize_t plain(ssize_t moved) {
    if (moved >= 0) return moved;
    return errno == EAGAIN || errno == EINTR ? -1 : -2;
}

static int at_most_int(size_t length) { return length > 1 << 30 ? 1 << 30 : (int)length; }

ssize_t link_read(peer *p, void *into, size_t room) {
    if (!p->ssl) return plain(recv(p->fd, into, room, 0));
    int got = SSL_read(p->ssl, into, at_most_int(room));
    return got > 0 ? got : outcome_of(p, got);
}

ssize_t link_write(peer *p, const void *from, size_t length) {
    if (!p->ssl) return plain(send(p->fd, from, length, MSG_NOSIGNAL));
    int sent = SSL_write(p->ssl, from, at_most_int(length));
    return sent > 0 ? sent : outcome_of(p, sent);
}
