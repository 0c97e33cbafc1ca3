#include <fmt/format.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <memory>
#include <thread>

#include "cli/args.h"
#include "cli/bench/load.h"
#include "cli/bench/process.h"
#include "cli/bench/raw_disk.h"
#include "cli/bench/streams.h"
#include "cli/context.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/request.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

using bench::Figure;

constexpr std::size_t kStarts = 9;
constexpr std::size_t kShots = 40;
constexpr std::size_t kEndToEndRecords = 300;
constexpr std::chrono::microseconds kEndToEndPause{5'000};
constexpr std::size_t kIdleTails = 200;
constexpr double kMillion = 1e6;
constexpr std::chrono::milliseconds kSettle{300};
constexpr std::uint64_t kSecondsMax = 3600;
constexpr long kTmpfsMagic = 0x01021994;

struct BenchOptions {
    std::vector<std::string> words;
    std::string dir = ".";
    std::string seconds = "2";
    bool list = false;
};

// NOLINTNEXTLINE(cppcoreguidelines-avoid-non-const-global-variables): a signal handler's only way
std::atomic<int> end_signal{0};

void note_signal(int number) { end_signal = number; }

// A figure is begun or not; the folder that it needs is taken away in any case. A second signal
// ends klog at once.
void watch_signals() {
    struct sigaction action {};
    action.sa_handler = note_signal;
    action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

// A folder that goes with it.
class Folder {
public:
    Status make(const std::string& in) {
        std::error_code error;
        std::string name =
            std::filesystem::absolute(in, error).lexically_normal() / "klog-bench-XXXXXX";
        if (::mkdtemp(name.data()) == nullptr) {
            return Error{
                Code::io,
                "cannot make a folder in " + in + ": " + std::generic_category().message(errno),
                "klog bench --dir DIR"};
        }
        path_ = std::move(name);
        return {};
    }
    ~Folder() {
        std::error_code error;
        if (!path_.empty()) std::filesystem::remove_all(path_, error);
        if (error) notice("could not remove " + path_ + ": " + error.message());
    }
    Folder() = default;
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] const std::string& path() const { return path_; }

private:
    std::string path_;
};

class Bench {
public:
    Bench(const BenchOptions& options, double seconds, Context& context)
        : options_(options), seconds_(seconds), context_(context) {}

    Result<int> run() {
        if (!options_.list) KLOG_TRY(open());
        KLOG_TRY(raw_and_groups());
        KLOG_TRY(streams());
        KLOG_TRY(single_records());
        KLOG_TRY(reading());
        KLOG_TRY(processes());
        if (end_signal != 0) return 128 + end_signal;
        if (printed_ == 0) {
            return Error{Code::usage, "no figure has such a name", "klog bench --list"};
        }
        KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out_.flush());
        return 0;
    }

private:
    using Measure = std::function<Result<Figure>()>;

    // Where --url or KLOG_URL names a daemon, that one is measured.
    Status open() {
        KLOG_TRY(folder_.make(options_.dir));
        struct statfs file_system {};
        if (::statfs(folder_.path().c_str(), &file_system) == 0 &&
            file_system.f_type == kTmpfsMagic) {
            notice("this folder is in memory, where a sync costs nothing: klog bench --dir DIR");
        }
        url_ = context_.setting("url");
        if (!url_.empty()) return {};
        KLOG_TRY(daemon_.start(folder_.path()));
        url_ = daemon_.url();
        return {};
    }

    [[nodiscard]] bool wanted(const std::string& name) const {
        if (options_.words.empty()) return true;
        return std::any_of(options_.words.begin(), options_.words.end(),
                           [&](const auto& word) { return name.find(word) != std::string::npos; });
    }

    // Takes a figure and prints it. raw: its ceiling's value, 0 where it has none. The value, 0
    // where it was not asked for.
    Result<double> take(const std::string& name, const std::string& unit, const Measure& measure,
                        double raw = 0) {
        if (!wanted(name) || end_signal != 0) return 0.0;
        ++printed_;
        if (options_.list) {
            out_.append(name + "\n");
            return 0.0;
        }
        KLOG_TRY_ASSIGN(Figure figure, measure());
        if (raw > 0) figure.of_raw = figure.value / raw;
        print(name, unit, figure);
        KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out_.flush());
        return figure.value;
    }

    void print(const std::string& name, const std::string& unit, const Figure& figure) {
        const int digits = figure.value < 100 ? 2 : 0;
        if (context_.output() != OutputMode::pretty) {
            std::string line = fmt::format(R"({{"figure":"{}","value":{:.{}f},"unit":"{}")", name,
                                           figure.value, digits, unit);
            if (figure.p50_us > 0) {
                line += fmt::format(R"(,"p50_us":{:.0f},"p99_us":{:.0f})", figure.p50_us,
                                    figure.p99_us);
            }
            if (figure.of_raw > 0) line += fmt::format(R"(,"of_raw":{:.3f})", figure.of_raw);
            out_.append(line + "}\n");
            return;
        }
        std::string line =
            fmt::format("{:<26} {:>12.{}f} {:<10}", name, figure.value, digits, unit);
        if (figure.p50_us > 0) {
            line += fmt::format("  p50 {:>6.0f} us  p99 {:>6.0f} us", figure.p50_us, figure.p99_us);
        }
        if (figure.of_raw > 0) line += fmt::format("  {:.2f} of the raw disk", figure.of_raw);
        out_.append(line + "\n");
    }

    Status raw_and_groups() {
        for (const std::size_t group : {1U, 256U, 1024U}) {
            const std::string number = std::to_string(group);
            KLOG_TRY_ASSIGN(const double raw, take("raw." + number, "records/s", [&] {
                                return bench::raw_disk(folder_.path(), group, seconds_);
                            }));
            KLOG_TRY_ASSIGN([[maybe_unused]] const double value,
                            take(
                                "produce." + number, "records/s",
                                [&] { return bench::produce_groups(url_, group, seconds_); }, raw));
        }
        return {};
    }

    Status streams() {
        KLOG_TRY_ASSIGN([[maybe_unused]] const double unbounded,
                        take("produce.unbounded", "records/s",
                             [&] { return bench::produce_unbounded(url_, seconds_); }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double piped, take("produce.pipe", "records/s", [&] {
                            return bench::produce_pipe(url_, folder_.path(), seconds_);
                        }));
        return {};
    }

    // Keys are new in each run: an expected version of 0 is one that never was.
    [[nodiscard]] std::string key_prefix(std::size_t count, bool expect) const {
        return fmt::format("{}-{}-{}-", ::getpid(), count, expect ? "e" : "p");
    }

    Result<Figure> loaded(std::size_t count, const bench::LoadProtocol& protocol) {
        std::vector<std::unique_ptr<http::Client>> clients;
        std::vector<int> fds;
        while (clients.size() < count) {
            KLOG_TRY_ASSIGN(auto client, http::Client::connect(url_, kConnectWait));
            fds.push_back(client->native_handle());
            clients.push_back(std::move(client));
        }
        return bench::run_load(fds, protocol, seconds_);
    }

    Status single_records() {
        for (const std::size_t count : {1U, 32U, 64U}) {
            for (const bool expect : {false, true}) {
                const std::string name = fmt::format("one.{}{}", count, expect ? ".expect" : "");
                KLOG_TRY_ASSIGN([[maybe_unused]] const double value, take(name, "records/s", [&] {
                                    return loaded(count, bench::record_requests(
                                                             key_prefix(count, expect), expect));
                                }));
            }
        }
        KLOG_TRY_ASSIGN([[maybe_unused]] const double paced,
                        take("raw.paced", "us", [&] { return paced_raw(); }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double end_to_end, take("end-to-end", "us", [&] {
                            return bench::end_to_end(url_, kEndToEndRecords, kEndToEndPause);
                        }));
        return {};
    }

    Result<Figure> paced_raw() {
        KLOG_TRY_ASSIGN(Figure figure,
                        bench::raw_disk(folder_.path(), 1, seconds_, kEndToEndPause));
        figure.value = figure.p50_us;
        return figure;
    }

    Status reading() {
        KLOG_TRY_ASSIGN([[maybe_unused]] const double replayed,
                        take("replay", "records/s", [&] { return bench::replay(url_); }));
        KLOG_TRY_ASSIGN(
            [[maybe_unused]] const double framed,
            take("replay.framed", "records/s", [&] { return bench::replay_framed(url_); }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double tailed, take("tail.pipe", "records/s", [&] {
                            return bench::tail_pipe(url_, folder_.path());
                        }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double got,
                        take("get.1", "answers/s", [&] { return got_keys(); }));
        return {};
    }

    Result<Figure> got_keys() {
        const std::string prefix = key_prefix(0, false);
        auto writes = bench::record_requests(prefix, false);
        KLOG_TRY_ASSIGN([[maybe_unused]] const Figure written, loaded(1, writes));
        return loaded(1, bench::get_requests(prefix));
    }

    // Of daemons of their own: a running one says nothing about its start.
    Status processes() {
        KLOG_TRY_ASSIGN([[maybe_unused]] const double shot, take("one-shot", "us", [&] {
                            return bench::one_shot(url_, folder_.path(), kShots);
                        }));
        daemon_.stop();
        KLOG_TRY_ASSIGN([[maybe_unused]] const double start, take("start", "us", [&] {
                            return bench::start_to_first_ack(folder_.path(), kStarts);
                        }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double idle,
                        take("memory.idle", "MB", [&] { return memory("idle", 0); }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double full,
                        take("memory.million", "MB", [&] { return memory("million", kMillion); }));
        KLOG_TRY_ASSIGN([[maybe_unused]] const double tails,
                        take("idle-tails", "ms/s", [&] { return tails_cost(); }));
        return {};
    }

    Result<std::string> sub_folder(const std::string& name) {
        std::string path = folder_.path() + "/" + name;
        std::error_code error;
        std::filesystem::create_directory(path, error);
        if (error) return Error{Code::io, "cannot make " + path + ": " + error.message(), ""};
        return path;
    }

    Result<Figure> memory(const std::string& name, double records) {
        KLOG_TRY_ASSIGN(const std::string path, sub_folder(name));
        bench::BenchDaemon daemon;
        KLOG_TRY(daemon.start(path));
        Figure figure;
        for (double written = 0; written < records;) {
            constexpr double kPortionSeconds = 0.2;
            const auto begin = bench::Clock::now();
            KLOG_TRY_ASSIGN(const Figure some,
                            bench::produce_groups(daemon.url(), 1024, kPortionSeconds));
            written += some.value * bench::seconds_since(begin);
        }
        std::this_thread::sleep_for(kSettle);
        figure.value = daemon.resident_bytes() / kMillion;
        return figure;
    }

    Result<Figure> tails_cost() {
        KLOG_TRY_ASSIGN(const std::string path, sub_folder("tails"));
        bench::BenchDaemon daemon;
        KLOG_TRY(daemon.start(path));
        return bench::idle_tails(daemon, kIdleTails, seconds_);
    }

    const BenchOptions& options_;
    const double seconds_;
    Context& context_;
    Folder folder_;
    bench::BenchDaemon daemon_;
    std::string url_;
    Output out_;
    int printed_ = 0;
};

Result<int> run_bench(const BenchOptions& options, Context& context) {
    KLOG_TRY(context.load());
    KLOG_TRY_ASSIGN(const std::uint64_t seconds, parse_number("--seconds", options.seconds, 1));
    if (seconds > kSecondsMax) {
        return Error{Code::bad_option, "--seconds is at most 3600", "klog bench --seconds 2"};
    }
    watch_signals();
    return Bench(options, static_cast<double>(seconds), context).run();
}

Run add_bench(CLI::App& app) {
    const auto options = std::make_shared<BenchOptions>();
    add_operands(app, options->words);
    app.add_option("--dir", options->dir, "measure the disk that this folder is on (.)")
        ->type_name("DIR");
    app.add_option("--seconds", options->seconds, "how long each figure is taken (2)")
        ->type_name("N");
    app.add_flag("--list", options->list, "print the names of the figures, and take none");
    return [options](Context& context) { return run_bench(*options, context); };
}

}  // namespace

Verb bench_verb() {
    Verb verb;
    verb.name = "bench";
    verb.summary = "what klog does on this machine, beside what its disk can do";
    verb.synopsis = "[WORD...] [options]";
    verb.examples =
        "  $ klog bench --list\n"
        "  $ klog bench produce.256 raw.256 --seconds 1\n";
    verb.add = add_bench;
    return verb;
}

}  // namespace klog::cli
