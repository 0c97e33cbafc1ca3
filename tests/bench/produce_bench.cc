// What durable produce costs over HTTP, beside the raw disk in the same run.
//
//   klog_bench URL FILE [SECONDS [WORD]]
//
// URL is a daemon's (unix:///path or http://host:port); FILE is a name on the same disk for the raw
// ceiling: records of 128 bytes, one pwrite and one fdatasync a group, into a preallocated file.
// Each figure runs for SECONDS (3). With WORD only those whose names hold it are taken.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "daemon/http/client.h"

namespace {

using Clock = std::chrono::steady_clock;
using klog::http::Client;
using klog::http::ClientRequest;

constexpr std::size_t kRecordBytes = 128;
constexpr std::size_t kRawFileBytes = 256U << 20U;
constexpr std::chrono::milliseconds kLimit{30'000};

[[noreturn]] void die(const std::string& what) {
    fmt::print(stderr, "klog_bench: {}\n", what);
    std::exit(1);
}

template <class T>
T must(klog::Result<T> result, const std::string& what) {
    if (!result) die(what + ": " + result.error().message);
    return std::move(result).value();
}
void must(const klog::Status& status, const std::string& what) {
    if (!status) die(what + ": " + status.error().message);
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

struct Figure {
    double per_second = 0;
    double p50_us = 0;
    double p99_us = 0;
};

Figure figure(std::vector<float>& took_us, std::size_t group, double seconds) {
    std::sort(took_us.begin(), took_us.end());
    const std::size_t n = took_us.size();
    return {static_cast<double>(n * group) / seconds, took_us[n / 2], took_us[n * 99 / 100]};
}

void print(const std::string& name, const Figure& f, double raw) {
    fmt::print("{:<34} {:>12.0f}/s  p50 {:>7.0f} us  p99 {:>7.0f} us", name, f.per_second, f.p50_us,
               f.p99_us);
    if (raw > 0) fmt::print("  {:>5.2f} of raw", f.per_second / raw);
    fmt::print("\n");
    std::fflush(stdout);
}

Figure raw(const std::string& path, std::size_t group, double seconds) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (fd < 0) die("cannot open " + path);
    const std::string mib(1U << 20U, '\0');
    for (std::size_t at = 0; at < kRawFileBytes; at += mib.size()) {
        if (::write(fd, mib.data(), mib.size()) < 0) die("cannot fill " + path);
    }
    if (::fsync(fd) != 0) die("cannot sync " + path);
    std::string bytes(group * kRecordBytes, 'a');
    std::vector<float> took;
    std::size_t at = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < seconds) {
        std::fill(bytes.begin(), bytes.end(), static_cast<char>('a' + took.size() % 26));
        const auto begin = Clock::now();
        if (::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at)) < 0) die("pwrite");
        if (::fdatasync(fd) != 0) die("fdatasync");
        took.push_back(static_cast<float>(seconds_since(begin) * 1e6));
        at += bytes.size();
        if (at + bytes.size() > kRawFileBytes) at = 0;
    }
    const Figure f = figure(took, group, seconds_since(start));
    ::close(fd);
    ::unlink(path.c_str());
    return f;
}

std::string value_of(std::size_t number) {
    std::string value = fmt::format(R"({{"n":{},"pad":")", number);
    value.append(kRecordBytes - value.size() - 2, 'x');
    return value + "\"}";
}

// One connection: `group` lines at once, all acks awaited, then the next.
Figure streamed(const std::string& url, std::size_t group, double seconds) {
    auto client = must(Client::connect(url, kLimit), "connect");
    ClientRequest request;
    request.method = "POST";
    request.target = "/v1/records?topic=bench/load";
    request.content_type = "application/x-ndjson";
    request.stream_body = true;
    must(client->send(request), "send");
    std::string lines;
    for (std::size_t i = 0; i < group; ++i) lines += value_of(i) + "\n";
    std::vector<float> took;
    const auto start = Clock::now();
    bool headed = false;
    while (seconds_since(start) < seconds) {
        const auto begin = Clock::now();
        must(client->write_body(lines), "write");
        if (!headed) must(client->read_head(kLimit), "answer");
        headed = true;
        for (std::size_t acks = 0; acks < group;) {
            const std::string some = must(client->read_body(1U << 20U, kLimit), "acks");
            if (some.empty()) die("the answer ended");
            acks += static_cast<std::size_t>(std::count(some.begin(), some.end(), '\n'));
        }
        took.push_back(static_cast<float>(seconds_since(begin) * 1e6));
    }
    return figure(took, group, seconds_since(start));
}

// One connection, as many lines as it takes, acks read on the side.
Figure flood(const std::string& url, double seconds) {
    auto client = must(Client::connect(url, kLimit), "connect");
    ClientRequest request;
    request.method = "POST";
    request.target = "/v1/records?topic=bench/flood";
    request.content_type = "application/x-ndjson";
    request.stream_body = true;
    must(client->send(request), "send");
    std::string lines;
    for (std::size_t i = 0; i < 1024; ++i) lines += value_of(i) + "\n";
    std::size_t acks = 0;
    const auto start = Clock::now();
    std::thread reader([&] {
        must(client->read_head(kLimit), "answer");
        for (;;) {
            const std::string some = must(client->read_body(1U << 20U, kLimit), "acks");
            if (some.empty()) return;
            acks += static_cast<std::size_t>(std::count(some.begin(), some.end(), '\n'));
        }
    });
    while (seconds_since(start) < seconds) must(client->write_body(lines), "write");
    must(client->end_body(), "end");
    reader.join();
    return {static_cast<double>(acks) / seconds_since(start), 0, 0};
}

// C connections, one record each at a time, to a key of its own; with expect, the version it has.
Figure connections(const std::string& url, unsigned count, bool expect, double seconds) {
    std::vector<std::vector<float>> took(count);
    std::vector<std::thread> threads;
    std::atomic<bool> go{false};
    const auto run = [&](unsigned number) {
        auto client = must(Client::connect(url, kLimit), "connect");
        const std::string body = value_of(number);
        std::string target = fmt::format("/v1/records?topic=bench/c{}&key={}-{}-{}", number, number,
                                         ::getpid(), count * 2 + (expect ? 1 : 0));
        std::size_t version = 0;
        while (!go) std::this_thread::yield();
        const auto start = Clock::now();
        while (seconds_since(start) < seconds) {
            ClientRequest request;
            request.method = "POST";
            request.target = target;
            if (expect) request.target += fmt::format("&expect={}", version++);
            request.content_type = "application/json";
            request.body = body;
            const auto begin = Clock::now();
            must(client->send(request), "send");
            const auto head = must(client->read_head(kLimit), "answer");
            const std::string answer = must(client->read_all(1U << 16U, kLimit), "answer");
            if (head.status != 201) die(fmt::format("status {}: {}", head.status, answer));
            took[number].push_back(static_cast<float>(seconds_since(begin) * 1e6));
        }
    };
    for (unsigned i = 0; i < count; ++i) threads.emplace_back(run, i);
    const auto start = Clock::now();
    go = true;
    for (auto& thread : threads) thread.join();
    std::vector<float> all;
    for (const auto& some : took) all.insert(all.end(), some.begin(), some.end());
    return figure(all, 1, seconds_since(start));
}

Figure replay(const std::string& url, const std::string& filter) {
    auto client = must(Client::connect(url, kLimit), "connect");
    ClientRequest request;
    request.target = "/v1/records?filter=" + klog::http::encode_component(filter);
    const auto start = Clock::now();
    must(client->send(request), "send");
    must(client->read_head(kLimit), "answer");
    std::size_t lines = 0;
    for (;;) {
        const std::string some = must(client->read_body(1U << 20U, kLimit), "records");
        if (some.empty()) break;
        lines += static_cast<std::size_t>(std::count(some.begin(), some.end(), '\n'));
    }
    return {static_cast<double>(lines) / seconds_since(start), 0, 0};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) die("usage: klog_bench URL FILE [SECONDS [WORD]]");
    const std::string url = argv[1];
    const std::string file = argv[2];
    const double seconds = argc > 3 ? std::atof(argv[3]) : 3;
    const std::string word = argc > 4 ? argv[4] : "";
    const auto run = [&](const std::string& name, double raw_per_second, auto measure) {
        if (name.find(word) == std::string::npos) return 0.0;
        const Figure f = measure();
        print(name, f, raw_per_second);
        return f.per_second;
    };
    for (const std::size_t group : {1U, 256U, 1024U}) {
        const double ceiling = run(fmt::format("raw disk, groups of {}", group), 0,
                                   [&] { return raw(file, group, seconds); });
        run(fmt::format("produce, groups of {}", group), ceiling,
            [&] { return streamed(url, group, seconds); });
    }
    run("produce, not waiting", 0, [&] { return flood(url, seconds); });
    for (const unsigned count : {1U, 32U}) {
        run(fmt::format("{} connections, one record each", count), 0,
            [&] { return connections(url, count, false, seconds); });
        run(fmt::format("{} connections, with expect", count), 0,
            [&] { return connections(url, count, true, seconds); });
    }
    run("replay as NDJSON", 0, [&] { return replay(url, "bench/>"); });
    return 0;
}
