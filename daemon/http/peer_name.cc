#include "daemon/http/peer_name.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cstring>

namespace klog::http {
namespace {

template <class Address>
Address as(const sockaddr_storage& storage) {
    Address address{};
    std::memcpy(&address, &storage, sizeof address);
    return address;
}

std::string process_name(int fd) {
    ucred credentials{};
    socklen_t size = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return "";
    return credentials.pid > 0 ? "process " + std::to_string(credentials.pid) : "";
}

}  // namespace

std::string peer_name(int fd) {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;
    if (::getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "";
    std::array<char, INET6_ADDRSTRLEN> host{};
    if (storage.ss_family == AF_UNIX) return process_name(fd);
    if (storage.ss_family == AF_INET) {
        const auto v4 = as<sockaddr_in>(storage);
        ::inet_ntop(AF_INET, &v4.sin_addr, host.data(), host.size());
        return std::string(host.data()) + ":" + std::to_string(ntohs(v4.sin_port));
    }
    if (storage.ss_family == AF_INET6) {
        const auto v6 = as<sockaddr_in6>(storage);
        ::inet_ntop(AF_INET6, &v6.sin6_addr, host.data(), host.size());
        return "[" + std::string(host.data()) + "]:" + std::to_string(ntohs(v6.sin6_port));
    }
    return "";
}

}  // namespace klog::http
