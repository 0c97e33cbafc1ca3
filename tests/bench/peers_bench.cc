// What others do with the same records on the same disk, by the same client: see compare.py.
//
//   klog_peers_bench redis HOST:PORT SECONDS    a Redis server with appendonly yes, appendfsync
//   always klog_peers_bench sqlite FOLDER SECONDS      SQLite in this process, WAL, synchronous
//   FULL
//
// One line of JSON a figure, as `klog bench` prints them. A record is a topic, a key and a value of
// 128 bytes; groups are written at once and awaited, as klog's are.
#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sqlite3.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cli/bench/load.h"

namespace {

namespace bench = klog::cli::bench;
using bench::Clock;
using bench::Figure;
using bench::Latencies;

constexpr std::size_t kEndToEndRecords = 300;
constexpr std::chrono::milliseconds kEndToEndPause{5};
constexpr std::size_t kReplayRecords = 1'000'000;

[[noreturn]] void die(const std::string& what) {
    fmt::print(stderr, "klog_peers_bench: {}\n", what);
    std::exit(1);
}

void print(const std::string& name, const std::string& unit, const Figure& figure) {
    fmt::print(R"({{"figure":"{}","value":{:.0f},"unit":"{}","p50_us":{:.0f},"p99_us":{:.0f}}})"
               "\n",
               name, figure.value, unit, figure.p50_us, figure.p99_us);
    std::fflush(stdout);
}

// --- Redis ---------------------------------------------------------------------------------

class Socket {
public:
    Socket(const std::string& host, const std::string& port) {
        addrinfo* found = nullptr;
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        if (::getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) die("no such host");
        fd_ = ::socket(found->ai_family, found->ai_socktype | SOCK_CLOEXEC, 0);
        if (fd_ < 0 || ::connect(fd_, found->ai_addr, found->ai_addrlen) != 0)
            die("cannot connect");
        ::freeaddrinfo(found);
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    ~Socket() { ::close(fd_); }
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;

    [[nodiscard]] int fd() const { return fd_; }
    void send(std::string_view bytes) const {
        while (!bytes.empty()) {
            const ssize_t some = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (some <= 0) die("the server closed the connection");
            bytes.remove_prefix(static_cast<std::size_t>(some));
        }
    }
    std::string_view receive() {
        const ssize_t some = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
        if (some <= 0) die("the server closed the connection");
        return {buffer_.data(), static_cast<std::size_t>(some)};
    }

private:
    int fd_ = -1;
    std::vector<char> buffer_ = std::vector<char>(1U << 20U);
};

std::string command(const std::vector<std::string>& words) {
    std::string bytes = fmt::format("*{}\r\n", words.size());
    for (const std::string& word : words) bytes += fmt::format("${}\r\n{}\r\n", word.size(), word);
    return bytes;
}

std::string add(const std::string& stream, std::size_t number) {
    return command({"XADD", stream, "*", "d", bench::value_of(number)});
}

// Each XADD is answered with its id: "$15\r\n1700000000000-0\r\n".
std::size_t count_ids(std::string_view bytes) {
    if (bytes.find('-') != std::string_view::npos && bytes[0] == '-') die(std::string(bytes));
    return static_cast<std::size_t>(std::count(bytes.begin(), bytes.end(), '$'));
}

Figure redis_groups(Socket& socket, std::size_t group, double seconds) {
    std::string bytes;
    for (std::size_t i = 0; i < group; ++i) bytes += add("groups", i);
    Latencies latencies;
    const auto start = Clock::now();
    while (bench::seconds_since(start) < seconds) {
        const auto begin = Clock::now();
        socket.send(bytes);
        for (std::size_t acks = 0; acks < group;) acks += count_ids(socket.receive());
        latencies.add(Clock::now() - begin);
    }
    return latencies.figure(group, bench::seconds_since(start));
}

Figure redis_connections(const std::string& host, const std::string& port, std::size_t count,
                         double seconds) {
    std::vector<std::unique_ptr<Socket>> sockets;
    std::vector<int> fds;
    while (sockets.size() < count) {
        sockets.push_back(std::make_unique<Socket>(host, port));
        fds.push_back(sockets.back()->fd());
    }
    bench::LoadProtocol protocol;
    protocol.request = [](std::size_t connection, std::size_t request) {
        return add("one-" + std::to_string(connection), request);
    };
    protocol.answer = [](std::string_view came) -> klog::Result<std::optional<std::size_t>> {
        if (came.front() != '$') die(std::string(came));
        const std::size_t first = came.find("\r\n");
        const std::size_t second = came.find("\r\n", first + 2);
        if (first == came.npos || second == came.npos) return std::optional<std::size_t>{};
        return std::optional<std::size_t>{second + 2};
    };
    const auto figure = bench::run_load(fds, protocol, seconds);
    if (!figure) die(figure.error().message);
    return *figure;
}

Figure redis_end_to_end(const std::string& host, const std::string& port) {
    Socket producer(host, port);
    Socket reader(host, port);
    producer.send(add("e2e", 0));
    static_cast<void>(producer.receive());
    Latencies latencies;
    while (latencies.size() < kEndToEndRecords) {
        reader.send(command({"XREAD", "BLOCK", "0", "STREAMS", "e2e", "$"}));
        std::this_thread::sleep_for(kEndToEndPause);
        const auto begin = Clock::now();
        producer.send(add("e2e", 1));
        static_cast<void>(reader.receive());
        latencies.add(Clock::now() - begin);
        static_cast<void>(producer.receive());
    }
    return latencies.median();
}

Figure redis_replay(Socket& socket) {
    std::string bytes;
    for (std::size_t i = 0; i < 1000; ++i) bytes += add("replay", i);
    for (std::size_t i = 0; i < kReplayRecords; i += 1000) {
        socket.send(bytes);
        for (std::size_t acks = 0; acks < 1000;) acks += count_ids(socket.receive());
    }
    const auto start = Clock::now();
    std::string after = "0";
    std::size_t records = 0;
    while (records < kReplayRecords) {
        socket.send(command({"XREAD", "COUNT", "1000", "STREAMS", "replay", after}));
        std::string page;
        // A page is whole when its last value is: 1000 of them, each on a line of its own.
        std::size_t values = 0;
        while (values < 1000) {
            const std::string_view some = socket.receive();
            const std::size_t from = page.size() < 8 ? 0 : page.size() - 8;
            page += some;
            for (std::size_t at = page.find("\"}\r\n", from); at != page.npos;
                 at = page.find("\"}\r\n", at + 4)) {
                if (at + 4 > page.size() - some.size()) ++values;
            }
        }
        // The last id stands in front of the last value.
        std::size_t at = page.rfind("*2\r\n$1\r\nd\r\n");
        if (at == page.npos) at = page.rfind("$1\r\nd\r\n");
        const std::size_t dash = page.rfind('-', at);
        const std::size_t begin = page.rfind('\n', dash) + 1;
        after = page.substr(begin, page.find('\r', begin) - begin);
        records += 1000;
    }
    Figure figure;
    figure.value = static_cast<double>(records) / bench::seconds_since(start);
    return figure;
}

void redis(const std::string& address, double seconds) {
    const std::size_t colon = address.rfind(':');
    if (colon == std::string::npos) die("HOST:PORT, please");
    const std::string host = address.substr(0, colon);
    const std::string port = address.substr(colon + 1);
    Socket socket(host, port);
    for (const std::size_t group : {1U, 256U, 1024U}) {
        print(fmt::format("produce.{}", group), "records/s", redis_groups(socket, group, seconds));
    }
    for (const std::size_t count : {1U, 32U, 64U}) {
        print(fmt::format("one.{}", count), "records/s",
              redis_connections(host, port, count, seconds));
    }
    print("end-to-end", "us", redis_end_to_end(host, port));
    print("replay", "records/s", redis_replay(socket));
}

// --- SQLite --------------------------------------------------------------------------------

class Database {
public:
    explicit Database(const std::string& path) {
        if (::sqlite3_open(path.c_str(), &db_) != SQLITE_OK) die("cannot open " + path);
        run("PRAGMA journal_mode=WAL");
        run("PRAGMA synchronous=FULL");
        run("CREATE TABLE log (seq INTEGER PRIMARY KEY, topic TEXT, key TEXT, version INTEGER, "
            "value BLOB)");
        const char* const insert = "INSERT INTO log (topic, key, version, value) VALUES (?,?,?,?)";
        if (::sqlite3_prepare_v2(db_, insert, -1, &insert_, nullptr) != SQLITE_OK) die("prepare");
    }
    ~Database() {
        ::sqlite3_finalize(insert_);
        ::sqlite3_close(db_);
    }
    Database(const Database&) = delete;
    Database& operator=(const Database&) = delete;

    void run(const char* sql) {
        if (::sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK) die(sql);
    }
    void insert(const std::string& value) {
        ::sqlite3_bind_text(insert_, 1, "bench/groups", -1, SQLITE_STATIC);
        ::sqlite3_bind_text(insert_, 2, "k", -1, SQLITE_STATIC);
        ::sqlite3_bind_int64(insert_, 3, ++version_);
        ::sqlite3_bind_blob(insert_, 4, value.data(), static_cast<int>(value.size()),
                            SQLITE_STATIC);
        if (::sqlite3_step(insert_) != SQLITE_DONE) die("insert");
        ::sqlite3_reset(insert_);
    }

private:
    sqlite3* db_ = nullptr;
    sqlite3_stmt* insert_ = nullptr;
    sqlite3_int64 version_ = 0;
};

void sqlite(const std::string& folder, double seconds) {
    for (const std::size_t group : {1U, 256U, 1024U}) {
        const std::string path = fmt::format("{}/peer-{}.db", folder, group);
        Database database(path);
        const std::string value = bench::value_of(group);
        Latencies latencies;
        const auto start = Clock::now();
        while (bench::seconds_since(start) < seconds) {
            const auto begin = Clock::now();
            database.run("BEGIN");
            for (std::size_t i = 0; i < group; ++i) database.insert(value);
            database.run("COMMIT");
            latencies.add(Clock::now() - begin);
        }
        print(fmt::format("produce.{}", group), "records/s",
              latencies.figure(group, bench::seconds_since(start)));
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 4) die("usage: klog_peers_bench redis HOST:PORT SECONDS | sqlite FOLDER SECONDS");
    const std::string peer = argv[1];
    const double seconds = std::strtod(argv[3], nullptr);
    if (peer == "redis") {
        redis(argv[2], seconds);
    } else if (peer == "sqlite") {
        sqlite(argv[2], seconds);
    } else {
        die("no such peer: " + peer);
    }
    return 0;
}
