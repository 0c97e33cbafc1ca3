// A raw peer for HTTP servers: sends bytes as they are given and reads answers with a reader of its
// own, so that tests do not trust the code they test. And what tests need to wait for events.
#ifndef KLOG_TESTS_SUPPORT_RAW_HTTP_H
#define KLOG_TESTS_SUPPORT_RAW_HTTP_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>

namespace klog::test {

// Nothing in a test waits longer; what takes so long has failed.
inline constexpr std::chrono::seconds kWaitLimit{10};

// Set once, from any thread; waited for with a limit.
class Event {
public:
    void set() {
        const std::lock_guard lock(mutex_);
        set_ = true;
        changed_.notify_all();
    }
    // False if it did not come.
    [[nodiscard]] bool wait() {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kWaitLimit, [&] { return set_; });
    }
    [[nodiscard]] bool is_set() {
        const std::lock_guard lock(mutex_);
        return set_;
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool set_ = false;
};

// A folder of its own, removed at the end.
class ScratchFolder {
public:
    ScratchFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "klog-test-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
        path_ = name;
    }
    ~ScratchFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    ScratchFolder(const ScratchFolder&) = delete;
    ScratchFolder& operator=(const ScratchFolder&) = delete;
    [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

struct RawResponse {
    int status = 0;                              // 0: the connection ended before a head
    std::map<std::string, std::string> headers;  // names in lower case
    std::string body;
    bool whole = false;  // framed to its end
};

class RawHttp {
public:
    // url: unix:///path or http://127.0.0.1:port.
    explicit RawHttp(const std::string& url) {
        if (url.rfind("unix://", 0) == 0) {
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            std::strncpy(address.sun_path, url.c_str() + 7, sizeof address.sun_path - 1);
            open(AF_UNIX, &address, sizeof address);
        } else {
            sockaddr_in address{};
            address.sin_family = AF_INET;
            address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            address.sin_port =
                htons(static_cast<std::uint16_t>(std::stoul(url.substr(url.rfind(':') + 1))));
            open(AF_INET, &address, sizeof address);
        }
    }
    ~RawHttp() { close(); }
    RawHttp(const RawHttp&) = delete;
    RawHttp& operator=(const RawHttp&) = delete;

    void close() {
        if (fd_ >= 0) ::close(fd_);
        fd_ = -1;
    }
    void close_sending() { ::shutdown(fd_, SHUT_WR); }

    // False if the peer does not take it (any more).
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t took = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (took <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(took));
        }
        return true;
    }

    // The next answer. bodiless: as to HEAD.
    RawResponse read(bool bodiless = false) {
        RawResponse response = read_head();
        if (response.status == 0) return response;
        if (bodiless || response.status < 200 || response.status == 204) {
            response.whole = true;
        } else if (response.headers.count("content-length") > 0) {
            const std::size_t size = std::stoul(response.headers["content-length"]);
            response.whole = fill(size);
            response.body = take(size);
        } else if (response.headers.count("transfer-encoding") > 0) {
            std::string chunk;
            while (read_chunk(chunk)) {
                if (chunk.empty()) {
                    response.whole = true;
                    break;
                }
                response.body += chunk;
            }
        } else {
            while (receive()) {
            }
            response.body = take(in_.size());
            response.whole = true;
        }
        return response;
    }

    RawResponse read_head() {
        RawResponse response;
        std::size_t end = 0;
        while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
            if (!receive()) return response;
        }
        const std::string head = take(end + 4);
        response.status = std::stoi(head.substr(9, 3));
        std::size_t line = head.find("\r\n") + 2;
        while (head.compare(line, 2, "\r\n") != 0) {
            const std::size_t next = head.find("\r\n", line);
            const std::size_t colon = head.find(": ", line);
            std::string name = head.substr(line, colon - line);
            for (char& c : name) c = static_cast<char>(std::tolower(c));
            response.headers[name] = head.substr(colon + 2, next - colon - 2);
            line = next + 2;
        }
        return response;
    }

    // The next chunk of an answer's body, empty for the last. False if the connection ended.
    bool read_chunk(std::string& chunk) {
        std::size_t end = 0;
        while ((end = in_.find("\r\n")) == std::string::npos) {
            if (!receive()) return false;
        }
        const std::size_t size = std::stoul(take(end + 2).substr(0, end), nullptr, 16);
        if (!fill(size + 2)) return false;
        chunk = take(size);
        return take(2) == "\r\n";
    }

    // True if the peer closes within the limit; what it sends before is dropped.
    bool wait_for_close() {
        while (receive()) {
        }
        return ended_;
    }

private:
    void open(int family, void* address, socklen_t size) {
        fd_ = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd_ < 0 || ::connect(fd_, static_cast<sockaddr*>(address), size) != 0) {
            throw std::runtime_error(std::string("cannot connect: ") + std::strerror(errno));
        }
    }
    bool receive() {
        pollfd state{fd_, POLLIN, 0};
        const auto limit = std::chrono::milliseconds(kWaitLimit).count();
        if (::poll(&state, 1, static_cast<int>(limit)) <= 0) return false;
        std::string room(64 * 1024, '\0');
        const ssize_t got = ::recv(fd_, room.data(), room.size(), 0);
        if (got <= 0) {
            ended_ = true;
            return false;
        }
        in_.append(room, 0, static_cast<std::size_t>(got));
        return true;
    }
    bool fill(std::size_t size) {
        while (in_.size() < size) {
            if (!receive()) return false;
        }
        return true;
    }
    std::string take(std::size_t size) {
        std::string out = in_.substr(0, size);
        in_.erase(0, size);
        return out;
    }

    int fd_ = -1;
    std::string in_;
    bool ended_ = false;
};

}  // namespace klog::test

#endif  // KLOG_TESTS_SUPPORT_RAW_HTTP_H
