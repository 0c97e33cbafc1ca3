#include "klog/verify.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/context.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/verb.h"
#include "daemon/http/client.h"

namespace klog::cli {
namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::ordered_json;

constexpr std::chrono::milliseconds kProgressEvery{100};
constexpr std::chrono::milliseconds kConnectWait{1000};
constexpr std::string_view kClearLine = "\r\x1b[K";
constexpr std::string_view kGood = "\x1b[32m";
constexpr std::string_view kNote = "\x1b[2m";
constexpr std::string_view kBad = "\x1b[31m";
constexpr std::string_view kReset = "\x1b[0m";

struct VerifyFlags {
    std::string data_dir;
    std::string config;
    bool deep = false;
};

// A line that is written over itself, where stderr is a terminal.
class Progress {
public:
    explicit Progress(bool wanted) : wanted_(wanted) {}

    void show(const VerifyProgress& progress) {
        const auto now = Clock::now();
        if (!wanted_ || now < next_) return;
        next_ = now + kProgressEvery;
        const std::uint64_t total = std::max(progress.bytes_total, progress.bytes_done);
        const std::uint64_t percent = total == 0 ? 100 : progress.bytes_done * 100 / total;
        write_error_stream(fmt::format("{}verifying {:>3} %  {} of {}  {}", kClearLine, percent,
                                       human_bytes(progress.bytes_done), human_bytes(total),
                                       progress.name));
        shown_ = true;
    }
    void clear() {
        if (shown_) write_error_stream(kClearLine);
        shown_ = false;
    }

private:
    const bool wanted_;
    bool shown_ = false;
    Clock::time_point next_;
};

ordered_json object_of(const VerifiedFile& file) {
    ordered_json object = {{"file", file.name},
                           {"kind", file_kind_name(file.kind)},
                           {"result", file_finding_name(file.finding)}};
    if (file.bytes != 0) object["bytes"] = file.bytes;
    if (file.frames != 0) object["frames"] = file.frames;
    if (file.records != 0 || file.frames != 0) object["records"] = file.records;
    if (file.bytes_kept != 0) object["bytes_kept"] = file.bytes_kept;
    if (file.bytes_dropped != 0) object["bytes_dropped"] = file.bytes_dropped;
    if (file.offset) object["offset"] = *file.offset;
    if (file.error) {
        object["code"] = code_name(file.error->code);
        object["message"] = file.error->message;
        if (!file.error->hint.empty()) object["hint"] = file.error->hint;
    }
    if (!file.note.empty()) object["note"] = file.note;
    return object;
}

std::string dump(const ordered_json& json, int indent) {
    return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace);
}

std::string_view color_of(FileFinding finding) {
    switch (finding) {
        case FileFinding::damaged:
            return kBad;
        case FileFinding::vanished:
        case FileFinding::not_checked:
            return kNote;
        default:
            return kGood;
    }
}

void append_pretty(std::string& out, const VerifiedFile& file, bool color) {
    std::string finding(file_finding_name(file.finding));
    for (char& c : finding) {
        if (c == '_') c = ' ';
    }
    const std::string padded = fmt::format("{:<12}", finding);
    out += color ? fmt::format("{}{}{}", color_of(file.finding), padded, kReset) : padded;
    out += file.name;
    if (file.bytes != 0) out += "  " + human_bytes(file.bytes);
    if (file.frames != 0) {
        out +=
            fmt::format("  {}, {}", counted(file.frames, "frame"), counted(file.records, "record"));
    } else if (file.records != 0) {
        out += "  " + counted(file.records, "record");
    }
    if (file.bytes_kept != 0) {
        out +=
            fmt::format("  ({} behind what is known to be synced)", human_bytes(file.bytes_kept));
    }
    if (file.finding == FileFinding::torn_tail) {
        out += fmt::format("  ({} that a crash tore; nobody was told that they are kept)",
                           human_bytes(file.bytes_dropped));
    }
    if (file.error) out += "  " + file.error->message;
    if (!file.note.empty()) out += "  " + file.note;
    out += "\n";
}

// Prints one result a file as it comes.
class Printer {
public:
    Printer(OutputMode mode, bool color) : mode_(mode), color_(color) {}

    void print(const VerifiedFile& file) {
        switch (mode_) {
            case OutputMode::pretty:
                append_pretty(out_.buffer(), file, color_);
                break;
            case OutputMode::ndjson:
                out_.append(dump(object_of(file), -1) + "\n");
                break;
            case OutputMode::json:
                array_.push_back(object_of(file));
                break;
            case OutputMode::value:
                if (file.finding == FileFinding::damaged) out_.append(file.name + "\n");
                break;
        }
        flush();
    }
    Status finish() {
        if (mode_ == OutputMode::json) out_.append(dump(array_, 2) + "\n");
        flush();
        return failure_ ? Status(*failure_) : Status();
    }

private:
    // A reader that left takes nothing from the verdict, which is the exit code.
    void flush() {
        if (failure_) return;
        auto open = out_.flush();
        if (!open.ok()) failure_ = std::move(open).error();
    }

    const OutputMode mode_;
    const bool color_;
    Output out_;
    ordered_json array_ = ordered_json::array();
    std::optional<Error> failure_;
};

// A daemon always binds a socket in its data directory.
bool daemon_lives(const std::string& data_dir) {
    return http::Client::connect("unix://" + data_dir + "/klog.sock", kConnectWait).ok();
}

Result<int> run(Context& context, const VerifyFlags& given) {
    Context::Flags flags;
    if (!given.data_dir.empty()) flags.emplace_back("data_dir", given.data_dir);
    std::optional<std::string> file;
    if (!given.config.empty()) file = given.config;
    KLOG_TRY(context.load(flags, file));
    VerifyOptions options;
    options.dir = context.setting("data_dir");
    if (options.dir.empty()) {
        return Error{Code::config, "there is no HOME, so no data directory is known",
                     "klog verify --data-dir D"};
    }
    options.live = daemon_lives(options.dir);
    options.deep = given.deep;
    Printer printer(context.output(), context.color());
    Progress progress(!context.quiet && is_terminal(STDERR_FILENO));
    std::optional<Error> first;
    options.on_progress = [&progress](const VerifyProgress& now) { progress.show(now); };
    options.on_file = [&](const VerifiedFile& found) {
        if (found.finding == FileFinding::damaged && !first) first = found.error;
        progress.clear();
        printer.print(found);
    };
    const auto env = make_posix_env();
    auto report = verify_store(*env, options);
    progress.clear();
    KLOG_TRY(printer.finish());
    if (!report.ok()) return std::move(report).error();
    if (!context.quiet) {
        for (const std::string& text : report->notices) notice(text);
    }
    if (first) {
        if (report->damaged > 1) {
            first->message +=
                fmt::format(" (and {})", counted(report->damaged - 1, "finding") + " more");
        }
        return std::move(*first);
    }
    if (!context.quiet) {
        notice(fmt::format("{}: {} sound, {}, {}{}", options.dir, counted(report->files, "file"),
                           human_bytes(report->bytes), counted(report->records, "record"),
                           options.live ? "; a daemon is writing here" : ""));
    }
    return 0;
}

Run add_verify(CLI::App& app) {
    auto flags = std::make_shared<VerifyFlags>();
    app.add_option("--data-dir", flags->data_dir, "the data directory to look at")->type_name("D");
    app.add_option("--config", flags->config, "settings from this file alone")->type_name("F");
    app.add_flag("--deep", flags->deep,
                 "also hold footers, versions and heads against the records");
    return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

Verb verify_verb() {
    Verb verb;
    verb.name = "verify";
    verb.summary = "check every byte of a data directory, also beside its daemon";
    verb.synopsis = "[--data-dir D] [--deep] [options]";
    verb.examples =
        "  $ klog verify\n"
        "  $ klog verify --data-dir ./data\n"
        "  $ klog verify --deep\n"
        "  $ klog verify -o value\n";
    verb.add = add_verify;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
