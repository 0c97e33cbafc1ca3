// Ten thousand readers and one writer, as followers_bench.cc drives them: plain sockets and one
// epoll, so that the client takes as little of the machine as it can.
#ifndef KLOG_BENCH_FOLLOWERS_LOAD_H
#define KLOG_BENCH_FOLLOWERS_LOAD_H

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace klog::followers {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const std::string& what);

// A path of a Unix socket, or HOST:PORT.
[[nodiscard]] int connect_to(const std::string& where, bool wait);

// What each follower asks for. Follower i is found by records of topic "f/<i>/x" with key "k<i>".
enum class Mix { key, filter, half, all };

// A record for follower i, its nth, which was due at `due`, as an envelope of 128 bytes of JSON.
[[nodiscard]] std::string envelope(std::string_view topic_root, std::size_t follower,
                                   std::size_t number, std::uint64_t due_ns);
[[nodiscard]] std::uint64_t now_ns();

// Followers, read by a thread of its own.
class Crowd {
public:
    Crowd(std::string where, std::size_t count, Mix mix);
    ~Crowd();
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    // Returns when each of them was told that it has caught up.
    void open();
    void close();
    // Nobody reads while it is paused.
    void pause(bool paused);
    // From now on each record must be the one that comes next for its follower.
    void expect_order(bool checked) { ordered_ = checked; }

    [[nodiscard]] std::size_t size() const { return count_; }
    [[nodiscard]] std::uint64_t received() const { return received_.load(); }
    [[nodiscard]] std::uint64_t wrong() const { return wrong_.load(); }
    [[nodiscard]] std::uint64_t closed() const { return closed_.load(); }
    // Waits until `total` records came since open(); false: not within the limit.
    [[nodiscard]] bool wait_received(std::uint64_t total, std::chrono::seconds limit) const;
    // Unit: us. Of all records with a due time that came since the last call.
    [[nodiscard]] std::vector<float> take_latencies();

private:
    struct Peer {
        int fd = -1;
        std::uint32_t next = 0;  // number of the record that comes next
        bool caught_up = false;
        std::string rest;  // of a line
    };
    void open_one(std::size_t index);
    void run();
    void receive(std::size_t index);
    void take(Peer& peer, std::size_t index, std::string_view bytes);
    void take_line(Peer& peer, std::size_t index, std::string_view line);

    const std::string where_;
    const std::size_t count_;
    const Mix mix_;
    int epoll_ = -1;
    std::vector<Peer> peers_;
    std::vector<char> buffer_;
    std::mutex mutex_;
    std::vector<float> latencies_;  // under the mutex
    std::atomic<bool> stop_{false};
    std::atomic<bool> paused_{false};
    std::atomic<bool> ordered_{true};
    std::atomic<std::uint64_t> caught_up_{0};
    std::atomic<std::uint64_t> received_{0};
    std::atomic<std::uint64_t> wrong_{0};
    std::atomic<std::uint64_t> closed_{0};
    std::thread thread_;
};

// One streamed produce of envelopes.
class Producer {
public:
    // acks: a line each, else one summary at the end.
    Producer(const std::string& where, bool acks);
    ~Producer();
    Producer(const Producer&) = delete;
    Producer& operator=(const Producer&) = delete;

    void send(std::string_view lines) const;
    // Another thread may send meanwhile. Reads acks until at most `open` records are without one.
    // Only with acks.
    void wait_acks(std::uint64_t sent, std::uint64_t open);
    [[nodiscard]] std::uint64_t acked() const { return acked_; }
    // Ends the stream. True: all of them are durable.
    [[nodiscard]] bool finish(std::uint64_t sent);

private:
    int fd_ = -1;
    const bool acks_;
    std::uint64_t acked_ = 0;
    std::vector<char> buffer_;
};

void wait_for(std::chrono::nanoseconds time);

}  // namespace klog::followers

#endif  // KLOG_BENCH_FOLLOWERS_LOAD_H
