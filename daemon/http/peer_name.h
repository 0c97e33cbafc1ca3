// Who is at the other end of a connection.
#ifndef KLOG_DAEMON_HTTP_PEER_NAME_H
#define KLOG_DAEMON_HTTP_PEER_NAME_H

#include <string>

namespace klog::http {

// For people: "process 4711" where the peer is a process of this machine, as the kernel knows it
// since it connected; "127.0.0.1:40312" or "[::1]:40312" over TCP; empty where the system does not
// say.
[[nodiscard]] std::string peer_name(int fd);

}  // namespace klog::http

#endif  // KLOG_DAEMON_HTTP_PEER_NAME_H
