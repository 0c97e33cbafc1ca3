#include "cli/bench/process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <system_error>
#include <thread>

#include "daemon/http/client.h"

namespace klog::cli::bench {
namespace {

constexpr std::chrono::milliseconds kLimit{30'000};
constexpr std::size_t kReadyBytesMax = 64 * 1024;
constexpr std::size_t kPipeLines = 1024;
constexpr std::chrono::milliseconds kAfterStart{500};
constexpr int kReadyFd = 3;
constexpr const char* kLogName = "daemon.log";

Error io_error(const std::string& what) {
    return Error{Code::io, what + ": " + std::generic_category().message(errno), ""};
}

// Variables that would change what is measured stay outside.
std::vector<std::string> clean_environment() {
    std::vector<std::string> kept;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view text(*entry);
        if (text.starts_with("KLOG_") || text.starts_with("XDG_")) continue;
        kept.emplace_back(text);
    }
    kept.emplace_back("XDG_CONFIG_HOME=/nonexistent");
    return kept;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (std::string& text : texts) out.push_back(text.data());
    out.push_back(nullptr);
    return out;
}

bool redirect(int from, int to, int flags) {
    const int fd = from >= 0 ? from : ::open("/dev/null", flags);
    return fd >= 0 && ::dup2(fd, to) == to;
}

// What a daemon says is of interest where it does not start.
bool log_to(const char* name) {
    const int fd = ::open(name, O_WRONLY | O_CREAT | O_APPEND, 0600);
    return fd >= 0 && ::dup2(fd, STDERR_FILENO) == STDERR_FILENO;
}

std::string read_text(const std::string& path) {
    std::ifstream in(path);
    return {std::istreambuf_iterator<char>(in), {}};
}

// The line behind a `/proc` file's name, as words.
std::vector<std::string> proc_words(pid_t pid, const std::string& file, const std::string& name) {
    std::ifstream in("/proc/" + std::to_string(pid) + "/" + file);
    std::string line;
    while (std::getline(in, line)) {
        if (!line.starts_with(name)) continue;
        std::istringstream words(line);
        return {std::istream_iterator<std::string>(words), {}};
    }
    return {};
}

Status put_record(const std::string& url) {
    KLOG_TRY_ASSIGN(const auto client, http::Client::connect(url, kLimit));
    http::ClientRequest request;
    request.method = "POST";
    request.target = "/v1/records?topic=bench/start";
    request.content_type = "application/json";
    request.body = value_of(1);
    KLOG_TRY(client->send(request));
    KLOG_TRY_ASSIGN(const auto head, client->read_head(kLimit));
    if (head.status == 201) return {};
    return Error{Code::io, "the daemon answered " + std::to_string(head.status), ""};
}

Status expect_success(pid_t pid, const std::string& what) {
    const int code = wait_code(pid);
    if (code == 0) return {};
    return Error{Code::io, what + " ended with " + std::to_string(code), ""};
}

}  // namespace

Result<pid_t> spawn_self(const std::vector<std::string>& args, const std::string& dir, int input,
                         int output, int ready) {
    // Made before the fork: between fork and exec nothing may allocate.
    std::vector<std::string> words = {"klog"};
    words.insert(words.end(), args.begin(), args.end());
    std::vector<std::string> variables = clean_environment();
    const std::vector<char*> argv = pointers(words);
    const std::vector<char*> envp = pointers(variables);
    const pid_t pid = ::fork();
    if (pid < 0) return io_error("cannot fork");
    if (pid > 0) return pid;
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    const bool ready_for_it = redirect(input, STDIN_FILENO, O_RDONLY) &&
                              redirect(output, STDOUT_FILENO, O_WRONLY) &&
                              (ready < 0 || ::dup2(ready, kReadyFd) == kReadyFd) &&
                              ::chdir(dir.c_str()) == 0 && (ready < 0 || log_to(kLogName));
    if (ready_for_it) ::execve("/proc/self/exe", argv.data(), envp.data());
    ::_exit(code_info(Code::io).exit_code);
}

Status BenchDaemon::start(const std::string& dir) {
    Pipe ready;
    KLOG_TRY(ready.open());
    KLOG_TRY_ASSIGN(pid_, spawn_self({"daemon", "--data-dir", dir + "/data", "--ready-fd",
                                      std::to_string(kReadyFd)},
                                     dir, -1, -1, ready.writer()));
    ready.close_writer();
    if (ready.read_all(kReadyBytesMax).empty()) {
        stop();
        return Error{Code::io,
                     "the daemon to measure did not start: " + read_text(dir + "/" + kLogName), ""};
    }
    url_ = "unix://" + dir + "/data/klog.sock";
    return {};
}

void BenchDaemon::stop() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGTERM);
    static_cast<void>(wait_code(pid_));  // what it says is on stderr
    pid_ = 0;
}

double BenchDaemon::resident_bytes() const {
    const auto words = proc_words(pid_, "status", "VmRSS:");
    return words.size() < 2 ? 0 : std::strtod(words[1].c_str(), nullptr) * 1024;
}

// Of each thread what schedstat says, which counts nanoseconds; proc(5)'s ticks are 10 ms.
double BenchDaemon::processor_seconds() const {
    double nanoseconds = 0;
    std::error_code error;
    const std::filesystem::path tasks = "/proc/" + std::to_string(pid_) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks, error)) {
        double ran = 0;
        if (std::ifstream(task.path() / "schedstat") >> ran) nanoseconds += ran;
    }
    return nanoseconds / 1e9;
}

Result<Figure> start_to_first_ack(const std::string& dir, std::size_t runs) {
    Latencies latencies;
    for (std::size_t run = 0; run < runs; ++run) {
        const std::string own = dir + "/start-" + std::to_string(run);
        if (::mkdir(own.c_str(), 0700) != 0) return io_error("cannot make " + own);
        BenchDaemon daemon;
        const auto begin = Clock::now();
        KLOG_TRY(daemon.start(own));
        KLOG_TRY(put_record(daemon.url()));
        latencies.add(Clock::now() - begin);
    }
    return latencies.median();
}

Result<Figure> one_shot(const std::string& url, const std::string& dir, std::size_t runs) {
    Latencies latencies;
    for (std::size_t run = 0; run < runs; ++run) {
        const auto begin = Clock::now();
        KLOG_TRY_ASSIGN(
            const pid_t pid,
            spawn_self({"produce", "bench/shot", value_of(run), "--url", url}, dir, -1, -1));
        KLOG_TRY(expect_success(pid, "klog produce"));
        latencies.add(Clock::now() - begin);
    }
    return latencies.median();
}

Result<Figure> produce_pipe(const std::string& url, const std::string& dir, double seconds) {
    Pipe pipe;
    KLOG_TRY(pipe.open());
    const std::string lines = lines_of(kPipeLines);
    std::size_t records = 0;
    const auto start = Clock::now();
    KLOG_TRY_ASSIGN(const pid_t pid, spawn_self({"produce", "bench/pipe", "-q", "--url", url}, dir,
                                                pipe.reader(), -1));
    pipe.close_reader();
    std::string_view left;
    while (!left.empty() || seconds_since(start) < seconds) {
        if (left.empty()) left = lines;
        const ssize_t some = ::write(pipe.writer(), left.data(), left.size());
        if (some < 0 && errno == EINTR) continue;
        if (some < 0) break;  // its exit code says why
        left.remove_prefix(static_cast<std::size_t>(some));
        if (left.empty()) records += kPipeLines;
    }
    pipe.close_writer();
    KLOG_TRY(expect_success(pid, "klog produce"));
    Figure figure;
    figure.value = static_cast<double>(records) / seconds_since(start);
    return figure;
}

Result<Figure> tail_pipe(const std::string& url, const std::string& dir) {
    Pipe pipe;
    KLOG_TRY(pipe.open());
    const auto start = Clock::now();
    KLOG_TRY_ASSIGN(const pid_t pid, spawn_self({"tail", "bench/>", "--no-follow", "--url", url},
                                                dir, -1, pipe.writer()));
    pipe.close_writer();
    std::size_t records = 0;
    std::vector<char> buffer(1U << 20U);
    for (;;) {
        const ssize_t some = ::read(pipe.reader(), buffer.data(), buffer.size());
        if (some < 0 && errno == EINTR) continue;
        if (some <= 0) break;
        records +=
            static_cast<std::size_t>(std::count(buffer.begin(), buffer.begin() + some, '\n'));
    }
    KLOG_TRY(expect_success(pid, "klog tail"));
    Figure figure;
    figure.value = static_cast<double>(records) / seconds_since(start);
    return figure;
}

Result<Figure> idle_tails(const BenchDaemon& daemon, std::size_t tails, double seconds) {
    std::vector<std::unique_ptr<http::Client>> clients;
    for (std::size_t i = 0; i < tails; ++i) {
        KLOG_TRY_ASSIGN(auto client, http::Client::connect(daemon.url(), kLimit));
        http::ClientRequest request;
        request.target = "/v1/records?follow=true&from=end&filter=idle/" + std::to_string(i);
        KLOG_TRY(client->send(request));
        KLOG_TRY_ASSIGN([[maybe_unused]] const auto head, client->read_head(kLimit));
        clients.push_back(std::move(client));
    }
    // What a start leaves to do, such as spare files, is over by then.
    std::this_thread::sleep_for(kAfterStart);
    const double before = daemon.processor_seconds();
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    Figure figure;
    figure.value = (daemon.processor_seconds() - before) / seconds * 1000;
    return figure;
}

}  // namespace klog::cli::bench
