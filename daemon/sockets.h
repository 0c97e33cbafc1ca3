// The Unix sockets that a daemon serves: its own in the data directory, and the one where clients
// look first.
#ifndef KLOG_DAEMON_SOCKETS_H
#define KLOG_DAEMON_SOCKETS_H

#include <functional>
#include <string>
#include <vector>

#include "daemon/http/server.h"
#include "klog/result.h"

namespace klog {

// Used by one thread. Keeps references to its arguments.
class Sockets {
public:
    Sockets(http::Server& server, const std::function<void(const std::string&)>& log);

    // A socket that must be had. Errors: as Server::listen_unix.
    Status require(const std::string& path);
    // A socket that is nice to have: where another daemon has it, or it cannot be made, that is
    // logged and tried again by keep().
    void want(const std::string& path);

    // Binds again what was wiped, and what has become free. Cheap.
    void keep();
    // Removes the files that are still this daemon's own.
    void close();

    [[nodiscard]] std::vector<std::string> urls() const;

private:
    struct Socket {
        std::string path;
        bool bound = false;
        std::string trouble;  // why it is not bound; logged when it changes
    };

    Status bind(const std::string& path);
    void try_again(Socket& socket);

    http::Server& server_;
    const std::function<void(const std::string&)>& log_;
    std::vector<Socket> sockets_;
};

}  // namespace klog

#endif  // KLOG_DAEMON_SOCKETS_H
