// The closed loop of decide_bench.cc: some connections, each with one conditional append under way.
// Every server is asked by this same loop, so that none of them pays for a slower client.
#ifndef KLOG_BENCH_DECIDE_LOAD_H
#define KLOG_BENCH_DECIDE_LOAD_H

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace klog::decide {

using Clock = std::chrono::steady_clock;

// Unit: bytes, of an event's value.
inline constexpr std::size_t kEventBytes = 256;

[[noreturn]] void die(const std::string& what);

// A connected socket that blocks; the caller closes it. `where` is a path or HOST:PORT.
[[nodiscard]] int connect_to(const std::string& where);

// Processor time that a process has had until now. Unit: seconds.
[[nodiscard]] double processor_seconds(int pid);

// What one writer writes: JSON documents of kEventBytes, each with text of its own.
class Events {
public:
    explicit Events(std::size_t writer) : writer_(writer), at_(writer * 7919) {}
    // Valid until the next call.
    [[nodiscard]] std::string_view next();

private:
    std::size_t writer_;
    std::size_t at_;
    std::uint64_t count_ = 0;
    std::string event_;
};

// One connection's side of a server's protocol. Each writer has an entity of its own; an append
// is refused if there is an event of it behind the newest position that the writer knows.
class Writer {
public:
    Writer() = default;
    virtual ~Writer() = default;
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // What a server wants to hear before the first append.
    virtual void greet(std::string& /*out*/) {}
    virtual void append(std::string& out) = 0;
    // Takes off `came` what is whole, and may answer it in `out`. True: the append is acknowledged.
    [[nodiscard]] virtual bool take(std::string& came, std::string& out) = 0;
};

// `batch` events an append.
[[nodiscard]] std::unique_ptr<Writer> klog_writer(std::size_t writer, std::size_t batch);
[[nodiscard]] std::unique_ptr<Writer> umadb_writer(std::size_t writer, std::size_t batch);
[[nodiscard]] std::unique_ptr<Writer> tephra_writer(std::size_t writer, std::size_t batch);

struct Load {
    std::size_t appends = 0;
    double seconds = 0;
    double p50_us = 0;
    double p99_us = 0;
    double server_seconds = 0;  // processor time
    double client_seconds = 0;
};

// Counts what is acknowledged within `seconds`, once the writers have gone on for kWarmUp.
[[nodiscard]] Load run_load(const std::string& where, int server_pid,
                            std::vector<std::unique_ptr<Writer>> writers, double seconds);

// What a guard in each record of a stream costs: prints a line of JSON a kind of record.
void run_guards(const std::string& where, int server_pid, double seconds);

}  // namespace klog::decide

#endif  // KLOG_BENCH_DECIDE_LOAD_H
