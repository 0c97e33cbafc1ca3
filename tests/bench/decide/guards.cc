// What a guard in each record of a stream costs: one connection, groups of 256 envelopes, each
// group sent when the one before it is acknowledged. The kinds of records take turns of a few
// milliseconds on that one connection, so that what else the machine does falls on all of them
// alike.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "cli/bench/figure.h"
#include "tests/bench/decide/load.h"

namespace klog::decide {
namespace {

constexpr std::size_t kGroup = 256;
constexpr std::size_t kEntities = 4096;
constexpr std::size_t kGroups = kEntities / kGroup;  // made ahead, sent in turn
constexpr std::size_t kTurnGroups = 4 * kGroups;
constexpr std::chrono::milliseconds kAge{1000};    // of the oldest `after`
constexpr std::string_view kPlace = "          ";  // of an `after`
constexpr std::size_t kReceiveBytes = 256 * 1024;

enum class Kind : std::size_t { plain, padded, fresh, second };
constexpr std::size_t kKinds = 4;
constexpr std::array<std::string_view, kKinds> kNames{"plain", "padded", "fresh", "second"};

// Envelopes that differ only in what stands in each `after`, as one chunk.
struct Group {
    std::string bytes;
    std::vector<std::size_t> places;
};

std::string envelope(Kind kind, std::size_t entity) {
    std::string line = fmt::format(R"({{"topic":"course/{}/enrolled",)", entity);
    const auto guard = [&](std::string_view member, std::string_view space) {
        line += fmt::format(R"("{}":{{"none":["{}/{}/*"],"after":{}}},)", member, space, entity,
                            kPlace);
    };
    // klog reads over `meta`: the same bytes and the same JSON, but no guard.
    if (kind == Kind::padded) guard("meta", "course");
    if (kind == Kind::fresh) guard("expect", "course");
    if (kind == Kind::second) guard("expect", "banned");
    return line + fmt::format("\"value\":{}}}\n", cli::bench::value_of(entity));
}

Group make_group(Kind kind, std::size_t number) {
    std::string lines;
    Group group;
    for (std::size_t i = 0; i < kGroup; ++i) {
        const std::string line = envelope(kind, number * kGroup + i);
        const std::size_t at = line.find(kPlace);
        if (at != line.npos) group.places.push_back(lines.size() + at);
        lines += line;
    }
    const std::string head = fmt::format("{:x}\r\n", lines.size());
    for (std::size_t& place : group.places) place += head.size();
    group.bytes = head + lines + "\r\n";
    return group;
}

// One streamed produce.
class Stream {
public:
    explicit Stream(const std::string& where) : fd_(connect_to(where)) {
        send(
            "POST /v1/records?envelope=true HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n");
    }
    ~Stream() { ::close(fd_); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    // Returns the last seq, once all are acknowledged.
    std::uint64_t write(const Group& group) {
        send(group.bytes);
        answer_.clear();
        std::size_t acks = 0;
        while (acks < kGroup) {
            const ssize_t some = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
            if (some <= 0) die("the daemon closed the stream");
            const std::string_view came(buffer_.data(), static_cast<std::size_t>(some));
            acks += static_cast<std::size_t>(std::count(came.begin(), came.end(), '}'));
            answer_ += came;
        }
        constexpr std::string_view kSeq = "\"seq\":";
        const std::size_t at = answer_.rfind(kSeq);
        std::uint64_t seq = 0;
        if (at != answer_.npos) {
            std::from_chars(answer_.data() + at + kSeq.size(), answer_.data() + answer_.size(),
                            seq);
        }
        if (seq == 0 || answer_.find("\"code\"") != answer_.npos) die("klog refused: " + answer_);
        return seq;
    }

private:
    void send(std::string_view bytes) const {
        while (!bytes.empty()) {
            const ssize_t some = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (some <= 0) die("the daemon closed the stream");
            bytes.remove_prefix(static_cast<std::size_t>(some));
        }
    }

    int fd_ = -1;
    std::string answer_;
    std::vector<char> buffer_ = std::vector<char>(kReceiveBytes);
};

class Turns {
public:
    Turns(const std::string& where, int server_pid) : stream_(where), server_pid_(server_pid) {
        for (std::size_t kind = 0; kind < kKinds; ++kind) {
            for (std::size_t i = 0; i < kGroups; ++i) {
                groups_[kind].push_back(make_group(static_cast<Kind>(kind), i));
            }
        }
    }

    void run(double seconds) {
        ban();
        for (std::size_t kind = 0; kind < kKinds; ++kind) take_turn(kind);
        for (auto& taken : taken_) taken = {};
        const auto start = Clock::now();
        for (std::size_t first = 0; cli::bench::seconds_since(start) < seconds; ++first) {
            for (std::size_t i = 0; i < kKinds; ++i) take_turn((first + i) % kKinds);
        }
    }

    void print() {
        for (std::size_t kind = 0; kind < kKinds; ++kind) {
            Taken& taken = taken_[kind];
            const auto records = static_cast<double>(taken.turns.size() * kTurnGroups * kGroup);
            double sum = 0;
            for (const double turn : taken.turns) sum += turn;
            // Each turn beside the plain one of its round, which was a few milliseconds away.
            std::vector<double> ratios;
            for (std::size_t i = 0; i < taken.turns.size(); ++i) {
                ratios.push_back(taken_[0].turns[i] / taken.turns[i]);
            }
            std::sort(ratios.begin(), ratios.end());
            const auto at = [&](double part) {
                return ratios[static_cast<std::size_t>(part *
                                                       static_cast<double>(ratios.size() - 1))];
            };
            const cli::bench::Figure group = taken.latencies.figure(kGroup, sum);
            fmt::print(R"({{"kind":"{}","records_s":{:.0f},"p50_us":{:.1f},"p99_us":{:.1f},)"
                       R"("server_ns":{:.1f},"turns":{},"of_plain":{:.4f},)"
                       R"("of_plain_low":{:.4f},"of_plain_high":{:.4f}}})"
                       "\n",
                       kNames[kind], records / sum, group.p50_us, group.p99_us,
                       1e9 * taken.server_seconds / records, taken.turns.size(), at(0.5), at(0.25),
                       at(0.75));
        }
    }

private:
    struct Taken {
        std::vector<double> turns;  // seconds each
        double server_seconds = 0;
        cli::bench::Latencies latencies;
    };

    // Something that the guards of a second ago find, but in front of their `after`.
    void ban() {
        for (std::size_t i = 0; i < kGroups; ++i) {
            Group group = make_group(Kind::plain, i);
            constexpr std::string_view kCourse = "course/";
            constexpr std::string_view kBanned = "banned/";
            for (std::size_t at = group.bytes.find(kCourse); at != group.bytes.npos;
                 at = group.bytes.find(kCourse, at)) {
                group.bytes.replace(at, kCourse.size(), kBanned);
            }
            last_ = stream_.write(group);
        }
        old_ = last_;
        old_since_ = Clock::now();
    }

    void take_turn(std::size_t kind) {
        Taken& taken = taken_[kind];
        const double before = processor_seconds(server_pid_);
        const auto start = Clock::now();
        for (std::size_t i = 0; i < kTurnGroups; ++i) {
            Group& group = groups_[kind][i % kGroups];
            const std::string after = place(static_cast<Kind>(kind));
            const auto begin = Clock::now();
            for (const std::size_t at : group.places) group.bytes.replace(at, after.size(), after);
            last_ = stream_.write(group);
            taken.latencies.add(Clock::now() - begin);
        }
        taken.turns.push_back(cli::bench::seconds_since(start));
        taken.server_seconds += processor_seconds(server_pid_) - before;
    }

    std::string place(Kind kind) {
        if (Clock::now() - old_since_ >= kAge) {
            old_ = last_;
            old_since_ = Clock::now();
        }
        return fmt::format("{:{}}", kind == Kind::second ? old_ : last_, kPlace.size());
    }

    Stream stream_;
    int server_pid_;
    std::array<std::vector<Group>, kKinds> groups_;
    std::array<Taken, kKinds> taken_;
    std::uint64_t last_ = 0;
    std::uint64_t old_ = 0;
    Clock::time_point old_since_;
};

}  // namespace

void run_guards(const std::string& where, int server_pid, double seconds) {
    Turns turns(where, server_pid);
    turns.run(seconds);
    turns.print();
}

}  // namespace klog::decide
