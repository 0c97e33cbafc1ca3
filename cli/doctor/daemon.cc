#include <dirent.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <charconv>
#include <chrono>
#include <fstream>
#include <map>

#include "cli/doctor/checks.h"
#include "cli/human.h"
#include "cli/json_text.h"
#include "cli/request.h"
#include "daemon/process_dirs.h"

namespace klog::cli {
namespace {

constexpr std::chrono::milliseconds kWait{3000};
constexpr std::size_t kMetricsBytesMax = 1U << 20U;
constexpr std::size_t kSocketBytesMax = sizeof(sockaddr_un::sun_path) - 1;
// The daemon's own limits: StoreOptions and man/klog-daemon.1.
constexpr std::uint64_t kQueueBytesMax = 32ULL << 20U;
constexpr std::uint64_t kMemtableBytesMax = 32ULL << 20U;
constexpr std::uint64_t kConnectionsMax = 16'000;

// Who serves a Unix socket; nullopt where nobody does, or it is no Unix socket.
std::optional<int> peer_of(const http::Client& client) {
    ucred peer = {};
    socklen_t size = sizeof peer;
    if (::getsockopt(client.native_handle(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 ||
        peer.pid <= 0) {
        return std::nullopt;
    }
    return peer.pid;
}

Result<Answer> get(const std::string& url, const std::string& target) {
    KLOG_TRY_ASSIGN(const auto client, http::Client::connect(url, kWait));
    http::ClientRequest request;
    request.target = target;
    KLOG_TRY(client->send(request));
    KLOG_TRY_ASSIGN(const http::ClientResponse head, client->read_head(kWait));
    Answer answer;
    answer.status = head.status;
    KLOG_TRY_ASSIGN(answer.body, client->read_all(kMetricsBytesMax, kWait));
    return answer;
}

void check_socket(const std::string& name, const std::string& path, const std::string& shorter,
                  Findings& findings) {
    if (path.size() > kSocketBytesMax) {
        findings.attention("socket", name, path,
                           fmt::format("the path has {} bytes, but a socket's may have at most {}, "
                                       "so no daemon can serve it",
                                       path.size(), kSocketBytesMax),
                           shorter, path.size());
        return;
    }
    struct stat info = {};
    if (::lstat(path.c_str(), &info) != 0) {
        findings.fine("socket", name, path + " (nobody serves it)");
        return;
    }
    if (!S_ISSOCK(info.st_mode)) {
        findings.attention("socket", name, path, "something else stands where the socket should",
                           "move it away: mv " + path + " " + path + ".old");
        return;
    }
    const auto client = http::Client::connect("unix://" + path, kWait);
    if (client.ok()) {
        const auto pid = peer_of(**client);
        findings.fine("socket", name,
                      path + (pid ? fmt::format(" (served by process {})", *pid) : " (served)"));
        return;
    }
    if (client.error().code == Code::unreachable) {
        findings.fine("socket", name,
                      path +
                          " (left by a daemon that was killed; the next start "
                          "cleans it up)");
        return;
    }
    findings.attention("socket", name, path, client.error().message,
                       "look at the daemon's log; klog daemon starts another");
}

// "name value" lines; a label becomes part of the name.
std::map<std::string, std::string> parse_metrics(const std::string& text) {
    std::map<std::string, std::string> values;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        const std::string line = text.substr(at, end - at);
        at = end + 1;
        const std::size_t space = line.rfind(' ');
        if (line.empty() || line[0] == '#' || space == std::string::npos) continue;
        values.emplace(line.substr(0, space), line.substr(space + 1));
    }
    return values;
}

std::string version_in(const std::map<std::string, std::string>& metrics) {
    constexpr std::string_view kName = "klog_build_info{version=\"";
    const auto found = metrics.lower_bound(std::string(kName));
    if (found == metrics.end() || !found->first.starts_with(kName)) return "";
    const std::string rest = found->first.substr(kName.size());
    return rest.substr(0, rest.find('"'));
}

class Gauges {
public:
    Gauges(const std::map<std::string, std::string>& metrics, Findings& findings)
        : metrics_(metrics), findings_(findings) {}

    [[nodiscard]] std::optional<std::uint64_t> value(const std::string& name) const {
        const auto found = metrics_.find(name);
        if (found == metrics_.end()) return std::nullopt;
        const std::string& text = found->second;
        std::uint64_t number = 0;
        const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
        return wrong == std::errc() ? std::optional(number) : std::nullopt;
    }

    // Something that has a limit.
    void limited(const char* shown, const char* metric, std::uint64_t most, bool bytes,
                 const char* message, const char* hint) {
        const auto now = value(metric);
        if (!now) return;
        const std::string text = bytes
                                     ? fmt::format("{} of {}", human_bytes(*now), human_bytes(most))
                                     : fmt::format("{} of {}", *now, most);
        if (*now * 100 >= most * kLimitPercentNear) {
            findings_.attention("daemon", shown, text, message, hint, *now);
        } else {
            findings_.fine("daemon", shown, text, *now);
        }
    }

private:
    const std::map<std::string, std::string>& metrics_;
    Findings& findings_;
};

void check_metrics(const std::map<std::string, std::string>& metrics, Findings& findings) {
    Gauges gauges(metrics, findings);
    const std::uint64_t head = gauges.value("klog_log_head_seq").value_or(0);
    findings.fine("daemon", "head", fmt::format("seq {}", head), head);
    const std::uint64_t indexed = gauges.value("klog_log_key_index_seq").value_or(head);
    const std::uint64_t lag = head > indexed ? head - indexed : 0;
    if (lag >= kKeyIndexLagRecords) {
        findings.attention("daemon", "key_index_lag", counted(lag, "record"),
                           "the key index is far behind the log, so starts after a crash and "
                           "listings take longer",
                           "it catches up when writes pause; if it does not, look at the disk",
                           lag);
    } else {
        findings.fine("daemon", "key_index_lag", counted(lag, "record"), lag);
    }
    gauges.limited("queue", "klog_log_queue_bytes", kQueueBytesMax, true,
                   "the queue is nearly full; past its limit writes are refused (backpressure)",
                   "fewer or slower producers, or a faster disk");
    gauges.limited("memtable", "klog_log_memtable_bytes", kMemtableBytesMax, true,
                   "heads and ids pile up in memory; at the limit writers wait",
                   "look whether the disk of the data directory is slow or full");
    const auto segments = gauges.value("klog_store_segments");
    const auto segment_bytes = gauges.value("klog_store_segment_bytes");
    if (segments && segment_bytes) {
        findings.fine("daemon", "segments",
                      counted(*segments, "segment") + ", " + human_bytes(*segment_bytes),
                      *segments);
    }
    gauges.limited("unsealed", "klog_store_unsealed_bytes", kUnsealedBytesMax, true,
                   "sealing is behind; at the limit writers wait for it", kSealHint);
    gauges.limited("connections", "klog_http_connections_open",
                   gauges.value("klog_http_connections_max").value_or(kConnectionsMax), false,
                   "nearly all connections are taken; further ones are refused (503)",
                   "close idle clients");
}

// Of another process, where the system shows it.
void check_descriptors(int pid, Findings& findings) {
    const std::string folder = fmt::format("/proc/{}", pid);
    std::ifstream limits(folder + "/limits");
    std::uint64_t most = 0;
    for (std::string line; std::getline(limits, line);) {
        constexpr std::string_view kName = "Max open files";
        if (!line.starts_with(kName)) continue;
        const std::size_t at = line.find_first_not_of(' ', kName.size());
        if (at == std::string::npos) continue;
        std::from_chars(line.data() + at, line.data() + line.size(), most);
    }
    DIR* const open = ::opendir((folder + "/fd").c_str());
    if (open == nullptr) return;  // another user's
    std::uint64_t count = 0;
    while (const dirent* entry = ::readdir(open)) {
        if (entry->d_name[0] != '.') ++count;
    }
    ::closedir(open);
    const std::string value =
        most == 0 ? fmt::format("{}", count) : fmt::format("{} of {}", count, most);
    if (most != 0 && count * 100 >= most * kLimitPercentNear) {
        findings.attention("daemon", "open_files", value,
                           "the daemon has nearly all the descriptors that it may have; past that "
                           "new connections are refused (503)",
                           "raise the hard limit (LimitNOFILE= of its service), then restart it",
                           count);
    } else {
        findings.fine("daemon", "open_files", value, count);
    }
}

// Of a daemon that was started with --read-only.
void check_read_only(const std::map<std::string, std::string>& metrics, Findings& findings) {
    const Gauges gauges(metrics, findings);
    if (gauges.value("klog_store_read_only").value_or(0) == 0) return;
    const std::uint64_t holes = gauges.value("klog_store_holes").value_or(0);
    if (holes == 0) {
        findings.fine("daemon", "read_only", "yes, no holes", holes);
        return;
    }
    findings.attention("daemon", "read_only", "yes, " + counted(holes, "hole"),
                       "a part of the log is missing or damaged, and reads that need it fail",
                       "the daemon's log names each hole, and klog verify the files; restore them "
                       "from a copy",
                       holes);
}

void check_readiness(const std::string& url, Findings& findings) {
    const auto ready = get(url, "/readyz");
    if (!ready.ok()) {
        findings.attention("daemon", "ready", "no answer", ready.error().message,
                           "look at the daemon's log; its disk may hang");
    } else if (ready->status != 200) {
        const Problem problem = ready->problem();
        findings.attention("daemon", "ready", "no", problem.message, problem.hint);
    } else {
        findings.fine("daemon", "ready", "yes");
    }
}

}  // namespace

void check_sockets(const Context& context, const std::string& data_dir, Findings& findings) {
    if (!data_dir.empty()) {
        check_socket("data_dir", data_dir + "/klog.sock", "a shorter --data-dir", findings);
    }
    const std::string runtime = config::runtime_socket(context.environment);
    if (runtime.empty()) {
        findings.fine("socket", "runtime", "none (XDG_RUNTIME_DIR is not set)");
    } else {
        check_socket("runtime", runtime, "a shorter XDG_RUNTIME_DIR", findings);
    }
}

void check_daemon(const std::string& url, bool wanted, const std::string& data_dir,
                  Findings& findings) {
    findings.fine("daemon", "url", url);
    std::optional<int> pid;
    {
        const auto client = http::Client::connect(url, kWait);
        if (!client.ok()) {
            if (wanted) {
                findings.attention("daemon", "answers", "no", "no daemon answers at " + url,
                                   "start it, or unset what names it: klog config show --origin");
            } else {
                findings.fine("daemon", "answers", "none runs (klog daemon starts one)");
            }
            return;
        }
        pid = peer_of(**client);
    }
    const auto metrics = get(url, "/metrics");
    const std::map<std::string, std::string> values =
        metrics.ok() ? parse_metrics(metrics->body) : std::map<std::string, std::string>();
    const std::string version = version_in(values);
    if (version.empty()) {
        findings.attention("daemon", "answers", "yes",
                           "what answers at " + url + " is no klog daemon, or cannot answer now",
                           "look at --url and KLOG_URL");
        return;
    }
    if (version != kVersion) {
        findings.attention(
            "daemon", "version", version,
            fmt::format("the daemon is {} and this command is {}", version, kVersion),
            "restart the daemon with the version that is installed");
    } else {
        findings.fine("daemon", "version", version);
    }
    if (pid) {
        findings.fine("daemon", "pid", fmt::format("{}", *pid), static_cast<std::uint64_t>(*pid));
        const auto holder = read_pid(data_dir);
        if (holder && *holder != *pid && !wanted) {
            findings.attention("daemon", "data", fmt::format("not {}", data_dir),
                               "clients reach a daemon that holds another data directory than the "
                               "one that is set here",
                               "--url unix://" + data_dir + "/klog.sock reaches this one's");
        }
        check_descriptors(*pid, findings);
    }
    check_readiness(url, findings);
    check_read_only(values, findings);
    check_metrics(values, findings);
}

}  // namespace klog::cli
