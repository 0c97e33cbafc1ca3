// What ten thousand followers cost: see followers.py, which starts the daemon and prints a table.
//
//   klog_followers_bench WHERE PID FOLLOWERS MIX PHASE SECONDS [RATE|ROUNDS]
//
//   WHERE  a Unix socket's path or HOST:PORT of the daemon, PID its process
//   MIX    key, filter, half (of each), all (every follower gets every record)
//   PHASE  memory      idle, after some records each, and SECONDS later
//          idle        the daemon's processor time over SECONDS in which nothing is written
//          nomatch     produce, in turn without and with followers, of which none matches
//          match       the same, each record for one of them
//          latency     open loop, RATE records a second, each for one follower, and its acks
//          stalled     nobody reads while SECONDS MiB of records come; then all do
//          churn       followers come and go for SECONDS
//
// One line of JSON a figure.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/bench/followers_load.h"

namespace {

using namespace klog::followers;
using std::chrono::seconds;

constexpr std::size_t kGroup = 1024;
constexpr std::uint64_t kOpenRecords = 4 * kGroup;
constexpr std::size_t kPool = 65'536;  // records made ahead, sent in turn
constexpr seconds kLimit{120};
constexpr std::uint64_t kBurst = 4096;
constexpr double kSettle = 0.3;  // seconds, after ten thousand came or went

struct Options {
    std::string where;
    int pid = 0;
    std::size_t followers = 0;
    Mix mix = Mix::half;
    double seconds = 0;
    double more = 0;
};

double proc_kib(int pid, const std::string& field) {
    std::ifstream file(fmt::format("/proc/{}/status", pid));
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(field)) return std::strtod(line.c_str() + field.size() + 1, nullptr);
    }
    die("no such process");
}

double rss_kib(int pid) { return proc_kib(pid, "VmRSS"); }

double processor_seconds(int pid) {
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text((std::istreambuf_iterator<char>(file)), {});
    text.erase(0, text.rfind(')') + 2);
    double sum = 0;
    std::size_t at = 0;
    for (int field = 3; field <= 15; ++field) {
        if (field >= 14) sum += std::strtod(text.c_str() + at, nullptr);
        at = text.find(' ', at) + 1;
    }
    return sum / 100;
}

void print(const std::string& figure, double value, const std::string& unit) {
    fmt::print(R"({{"figure":"{}","value":{:.4g},"unit":"{}"}})"
               "\n",
               figure, value, unit);
    std::fflush(stdout);
}

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

void pass(double time) { wait_for(std::chrono::nanoseconds(static_cast<long>(time * 1e9))); }

// `each` records for each follower, one after the other.
void hand_out(const Options& options, std::uint32_t from, std::uint32_t each) {
    Producer producer(options.where, true);
    std::uint64_t sent = 0;
    for (std::uint32_t round = from; round < from + each; ++round) {
        std::string lines;
        for (std::size_t i = 0; i < options.followers; ++i) {
            lines += envelope("f", i, round, 0);
            if (++sent % kGroup != 0 && i + 1 < options.followers) continue;
            producer.send(std::exchange(lines, {}));
            producer.wait_acks(sent, kOpenRecords);
        }
    }
    if (!producer.finish(sent)) die("not all of it was acknowledged");
}

void memory(const Options& options) {
    const auto each = static_cast<double>(options.followers);
    hand_out(options, 0, 1);  // a first load, so that what it takes does not count
    pass(2);
    const double before = rss_kib(options.pid);
    Crowd crowd(options.where, options.followers, options.mix);
    const auto start = Clock::now();
    crowd.open();
    print("all have caught up after", seconds_since(start), "s");
    pass(2);
    print("memory, idle", (rss_kib(options.pid) - before) / each, "KiB a follower");
    constexpr std::uint32_t kEach = 5;
    hand_out(options, 0, kEach);
    if (!crowd.wait_received(kEach * crowd.size(), kLimit)) die("records are missing");
    print("memory, after 5 records each", (rss_kib(options.pid) - before) / each, "KiB a follower");
    pass(options.seconds);
    print(fmt::format("memory, {:.0f} s later", options.seconds),
          (rss_kib(options.pid) - before) / each, "KiB a follower");
    print("records lost, twice or out of order", static_cast<double>(crowd.wrong()), "");
    print("followers cut off", static_cast<double>(crowd.closed()), "");
}

void idle(const Options& options) {
    Crowd crowd(options.where, options.followers, options.mix);
    crowd.open();
    pass(1);
    const double before = processor_seconds(options.pid);
    pass(options.seconds);
    const double used = processor_seconds(options.pid) - before;
    print("processor, all idle", used * 1000 / options.seconds, "ms a second");
}

std::vector<std::string> make_groups(std::string_view root, std::size_t followers) {
    std::vector<std::string> groups;
    for (std::size_t record = 0; record < kPool;) {
        std::string lines;
        for (std::size_t i = 0; i < kGroup; ++i, ++record) {
            lines += envelope(root, record % followers, 0, 0);
        }
        groups.push_back(std::move(lines));
    }
    return groups;
}

// Records a second that were acknowledged.
double produce(const Options& options, const std::vector<std::string>& groups,
               std::uint64_t& sent) {
    Producer producer(options.where, true);
    sent = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < options.seconds) {
        producer.send(groups[(sent / kGroup) % groups.size()]);
        sent += kGroup;
        producer.wait_acks(sent, kOpenRecords);
    }
    producer.wait_acks(sent, 0);
    const double took = seconds_since(start);
    if (!producer.finish(sent)) die("not all of it was acknowledged");
    return static_cast<double>(sent) / took;
}

double middle(std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
}

// Each round goes without, with, with, without, so that what grows with the log, and what the
// machine does beside it, falls on both.
void throughput(const Options& options, bool matching) {
    const std::vector<std::string> groups = make_groups(matching ? "f" : "n", options.followers);
    std::vector<double> without;
    std::vector<double> with;
    std::vector<double> ratios;
    std::vector<double> delivered;
    std::uint64_t sent = 0;
    static_cast<void>(produce(options, groups, sent));  // keys are there, caches are warm
    for (int round = 0; round < static_cast<int>(options.more); ++round) {
        const double before = produce(options, groups, sent);
        double both = 0;
        {
            Crowd crowd(options.where, options.followers, options.mix);
            crowd.expect_order(false);
            crowd.open();
            pass(kSettle);
            std::uint64_t total = 0;
            for (int turn = 0; turn < 2; ++turn) {
                const auto start = Clock::now();
                with.push_back(produce(options, groups, sent));
                both += with.back();
                if (matching) total += sent;
                const bool all = crowd.wait_received(total, kLimit);
                delivered.push_back(static_cast<double>(sent) / seconds_since(start));
                if (!all || crowd.received() != total) die("records are missing");
            }
        }
        pass(kSettle);
        const double after = produce(options, groups, sent);
        without.insert(without.end(), {before, after});
        ratios.push_back(both / (before + after));
    }
    print("produce, nobody follows", middle(without), "records/s");
    print("produce, all follow", middle(with), "records/s");
    print("of it", middle(ratios), "");
    print("least of it in a round", *std::min_element(ratios.begin(), ratios.end()), "");
    if (matching) print("handed to followers", middle(delivered), "records/s");
}

// Sorts what it is given. Unit: us.
void print_latencies(const std::string& name, std::vector<float> took) {
    std::sort(took.begin(), took.end());
    const auto at = [&](double share) {
        return took[std::min(took.size() - 1,
                             static_cast<std::size_t>(static_cast<double>(took.size()) * share))] /
               1000;
    };
    print(name + ", p50", at(0.5), "ms");
    print(name + ", p99", at(0.99), "ms");
    print(name + ", p99.9", at(0.999), "ms");
    print(name + ", the slowest", took.back() / 1000, "ms");
}

// Without followers it measures the acknowledgements alone.
void latency(const Options& options) {
    Crowd crowd(options.where, options.followers, options.mix);
    crowd.open();
    pass(kSettle);
    Producer producer(options.where, true);
    const auto total = static_cast<std::uint64_t>(options.seconds * options.more);
    const auto period_ns = static_cast<std::uint64_t>(1e9 / options.more);
    const std::uint64_t start = now_ns() + 1'000'000;
    std::vector<float> acks;
    std::thread acked([&] {
        acks.reserve(total);
        while (acks.size() < total) {
            producer.wait_acks(acks.size() + 1, 0);
            const std::uint64_t now = now_ns();
            while (acks.size() < producer.acked()) {
                acks.push_back(static_cast<float>(now - start - acks.size() * period_ns) / 1000);
            }
        }
    });
    std::uint64_t sent = 0;
    const std::size_t names = std::max<std::size_t>(options.followers, 1);
    while (sent < total) {
        std::string lines;
        const std::uint64_t now = now_ns();
        for (; sent < total && start + sent * period_ns <= now; ++sent) {
            lines += envelope("f", sent % names, sent / names, start + sent * period_ns);
        }
        producer.send(lines);
        const std::uint64_t next = start + sent * period_ns;
        const std::uint64_t after = now_ns();
        if (next > after) wait_for(std::chrono::nanoseconds(next - after));
    }
    acked.join();
    const auto rate = static_cast<int>(options.more);
    print_latencies(fmt::format("{}/s, acknowledged", rate), std::move(acks));
    if (!producer.finish(sent)) die("not all of it was acknowledged");
    if (options.followers == 0) return;
    if (!crowd.wait_received(total, kLimit)) die("records are missing");
    print_latencies(fmt::format("{}/s", rate), crowd.take_latencies());
    print("records lost, twice or out of order", static_cast<double>(crowd.wrong()), "");
}

// Records of every follower while nobody reads, so that all fall behind; then everybody reads.
void stalled(const Options& options) {
    const double before = rss_kib(options.pid);
    Crowd crowd(options.where, options.followers, options.mix);
    crowd.open();
    crowd.expect_order(false);
    crowd.pause(true);
    const auto total = static_cast<std::uint64_t>(options.seconds * 1048576 / 256);
    const auto write = [&](std::uint64_t records, std::vector<double>& waits) {
        Producer producer(options.where, true);
        for (std::uint64_t sent = 0; sent < records;) {
            std::string lines;
            for (std::uint64_t i = 0; i < kBurst && sent < records; ++i, ++sent) {
                lines += envelope("f", sent % options.followers, 0, 0);
            }
            const auto start = Clock::now();
            producer.send(lines);
            producer.wait_acks(sent, 0);
            waits.push_back(seconds_since(start) * 1000);
        }
        if (!producer.finish(records)) die("not all of it was acknowledged");
    };
    std::vector<double> waits;
    write(total, waits);
    print("slowest group of 4,096 while nobody reads",
          *std::max_element(waits.begin(), waits.end()), "ms");
    pass(1);
    print("memory, all stalled", (rss_kib(options.pid) - before) / 1024, "MiB");
    crowd.pause(false);
    waits.clear();
    const auto start = Clock::now();
    std::uint64_t meanwhile = 0;
    const bool all = options.mix == Mix::all;
    const std::uint64_t factor = all ? options.followers : 1;
    const std::uint64_t more = all ? 1 : kBurst;
    while (crowd.received() < total * factor && seconds_since(start) < 120) {
        write(more, waits);
        meanwhile += more;
        if (all) pass(0.1);
    }
    if (!crowd.wait_received((total + meanwhile) * factor, kLimit)) die("records are missing");
    print("all have caught up after", seconds_since(start), "s");
    print(fmt::format("groups of {} written meanwhile, p50", more), middle(waits), "ms");
    print("the slowest of them", *std::max_element(waits.begin(), waits.end()), "ms");
    print("most memory ever", proc_kib(options.pid, "VmHWM") / 1024, "MiB");
    print("followers cut off", static_cast<double>(crowd.closed()), "");
}

void churn(const Options& options) {
    Crowd stays(options.where, options.followers, options.mix);
    stays.open();
    constexpr std::size_t kComeAndGo = 200;
    double first = 0;
    std::uint64_t came = 0;
    const auto start = Clock::now();
    while (seconds_since(start) < options.seconds) {
        Crowd guests(options.where, kComeAndGo, options.mix);
        guests.open();
        came += kComeAndGo;
        if (first == 0 && seconds_since(start) > options.seconds / 4) {
            first = rss_kib(options.pid);
        }
    }
    print("come and go", static_cast<double>(came) / seconds_since(start), "followers/s");
    print("memory gained in the last three quarters", rss_kib(options.pid) - first, "KiB");
    print("followers cut off", static_cast<double>(stays.closed()), "");
}

void raise_limit(std::size_t followers) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    constexpr std::size_t kRest = 300;
    if (limit.rlim_cur < followers + kRest) die("more descriptors, please: ulimit -Hn");
}

Mix mix_of(const std::string& name) {
    if (name == "key") return Mix::key;
    if (name == "filter") return Mix::filter;
    if (name == "half") return Mix::half;
    if (name == "all") return Mix::all;
    die("no such mix: " + name);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 7) die("usage: WHERE PID FOLLOWERS MIX PHASE SECONDS [RATE|ROUNDS]");
    Options options;
    options.where = argv[1];
    options.pid = std::atoi(argv[2]);
    options.followers = std::strtoul(argv[3], nullptr, 10);
    options.mix = mix_of(argv[4]);
    const std::string phase = argv[5];
    options.seconds = std::strtod(argv[6], nullptr);
    options.more = argc > 7 ? std::strtod(argv[7], nullptr) : 3;
    raise_limit(options.followers);
    if (phase == "memory") {
        memory(options);
    } else if (phase == "idle") {
        idle(options);
    } else if (phase == "nomatch" || phase == "match") {
        throughput(options, phase == "match");
    } else if (phase == "latency") {
        latency(options);
    } else if (phase == "stalled") {
        stalled(options);
    } else if (phase == "churn") {
        churn(options);
    } else {
        die("no such phase: " + phase);
    }
    return 0;
}
