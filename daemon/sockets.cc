#include "daemon/sockets.h"

#include <utility>

#include "daemon/process_dirs.h"

namespace klog {

Sockets::Sockets(http::Server& server, const std::function<void(const std::string&)>& log)
    : server_(server), log_(log) {}

Status Sockets::bind(const std::string& path) {
    KLOG_TRY(make_folders(folder_of(path)));
    return server_.listen_unix(path);
}

Status Sockets::require(const std::string& path) {
    KLOG_TRY(bind(path));
    sockets_.push_back(Socket{path, true, ""});
    log_("listening on unix://" + path);
    return {};
}

void Sockets::want(const std::string& path) {
    sockets_.push_back(Socket{path, false, ""});
    try_again(sockets_.back());
}

void Sockets::try_again(Socket& socket) {
    const Status bound = bind(socket.path);
    socket.bound = bound.ok();
    if (bound) {
        socket.trouble.clear();
        log_("listening on unix://" + socket.path);
        return;
    }
    if (bound.error().message == socket.trouble) return;
    socket.trouble = bound.error().message;
    log_("not listening on unix://" + socket.path + ": " + socket.trouble);
}

void Sockets::keep() {
    for (Socket& socket : sockets_) {
        if (socket.bound && server_.owns_unix(socket.path)) continue;
        if (socket.bound) {
            log_("unix://" + socket.path + " was removed");
            server_.close_unix(socket.path);
        }
        try_again(socket);
    }
}

void Sockets::close() {
    for (const Socket& socket : sockets_) server_.close_unix(socket.path);
    sockets_.clear();
}

std::vector<std::string> Sockets::urls() const {
    std::vector<std::string> urls;
    for (const Socket& socket : sockets_) {
        if (socket.bound) urls.push_back("unix://" + socket.path);
    }
    return urls;
}

}  // namespace klog
