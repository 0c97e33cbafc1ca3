#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/doctor/checks.h"
#include "cli/human.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

using nlohmann::ordered_json;

constexpr int kNeedsAttention = 1;
constexpr std::string_view kGood = "\x1b[32m";
constexpr std::string_view kBad = "\x1b[33m";
constexpr std::string_view kReset = "\x1b[0m";

struct DoctorFlags {
    std::string data_dir;
    std::string config;
};

ordered_json object_of(const Finding& finding) {
    ordered_json object = {{"area", finding.area},
                           {"name", finding.name},
                           {"status", finding.attention ? "attention" : "ok"},
                           {"value", finding.value}};
    if (finding.number) object["number"] = *finding.number;
    if (!finding.message.empty()) object["message"] = finding.message;
    if (!finding.hint.empty()) object["hint"] = finding.hint;
    return object;
}

std::string dump(const ordered_json& json, int indent) {
    return json.dump(indent, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

std::string pretty(const std::vector<Finding>& findings, bool color) {
    std::string text;
    std::string area;
    for (const Finding& finding : findings) {
        if (finding.area != area) {
            area = finding.area;
            text += (text.empty() ? "" : "\n") + area + "\n";
        }
        const std::string_view mark = finding.attention ? "!" : " ";
        const std::string line = fmt::format("{} {:<14} {}", mark, finding.name, finding.value);
        text += color ? fmt::format("{}{}{}\n", finding.attention ? kBad : kGood, line, kReset)
                      : line + "\n";
        if (!finding.message.empty()) text += "    " + finding.message + "\n";
        if (!finding.hint.empty()) text += "    hint: " + finding.hint + "\n";
    }
    return text;
}

std::string render(const std::vector<Finding>& findings, OutputMode mode, bool color) {
    if (mode == OutputMode::pretty) return pretty(findings, color);
    std::string text;
    auto all = ordered_json::array();
    for (const Finding& finding : findings) {
        if (mode == OutputMode::value && finding.attention) {
            text += finding.area + " " + finding.name + ": " + finding.message + "\n";
        }
        if (mode == OutputMode::ndjson) text += dump(object_of(finding), -1);
        if (mode == OutputMode::json) all.push_back(object_of(finding));
    }
    return mode == OutputMode::json ? dump(all, 2) : text;
}

Result<int> run(Context& context, const DoctorFlags& given) {
    Context::Flags flags;
    if (!given.data_dir.empty()) flags.emplace_back("data_dir", given.data_dir);
    std::optional<std::string> file;
    if (!given.config.empty()) file = given.config;
    Findings findings;
    findings.fine("klog", "version", std::string(kVersion));
    Status loaded = context.load(flags, file);
    if (!loaded.ok()) {
        if (loaded.error().code == Code::bad_option) return std::move(loaded).error();
        findings.attention("config", "settings", "", loaded.error().message, loaded.error().hint);
        // The rest is looked at as if there were no files.
        KLOG_TRY(context.load(flags, std::nullopt, true));
    }
    check_settings(context, findings);
    std::string data_dir = context.setting("data_dir");
    while (data_dir.size() > 1 && data_dir.back() == '/') data_dir.pop_back();
    check_data_dir(data_dir, findings);
    check_system(findings);
    check_sockets(context, data_dir, findings);
    // A directory that was named is looked at with its own daemon, whoever clients reach.
    const bool own = !given.data_dir.empty() && context.setting("url").empty();
    check_daemon(own ? "unix://" + data_dir + "/klog.sock" : context.url(),
                 !context.setting("url").empty(), data_dir, findings);
    Output out;
    out.append(render(findings.list(), context.output(), context.color()));
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    const auto count = static_cast<std::uint64_t>(
        std::count_if(findings.list().begin(), findings.list().end(),
                      [](const Finding& finding) { return finding.attention; }));
    if (!context.quiet) {
        notice(count == 0 ? "all is well" : counted(count, "thing") + " to look at");
    }
    return count == 0 ? 0 : kNeedsAttention;
}

Run add_doctor(CLI::App& app) {
    auto flags = std::make_shared<DoctorFlags>();
    app.add_option("--data-dir", flags->data_dir, "the data directory to look at")->type_name("D");
    app.add_option("--config", flags->config, "settings from this file alone")->type_name("F");
    return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

void check_settings(const Context& context, Findings& findings) {
    for (const auto& [name, setting] : context.settings()) {
        if (setting.origin == "default") continue;
        const std::string value = config::is_secret(name) ? "********" : setting.value;
        findings.fine("config", name, fmt::format("{} ({})", value, setting.origin));
    }
}

Verb doctor_verb() {
    Verb verb;
    verb.name = "doctor";
    verb.summary = "what lies where, how large, which limits are near, and what to do";
    verb.synopsis = "[--data-dir D] [options]";
    verb.examples =
        "  $ klog doctor\n"
        "  $ klog doctor --data-dir ./data\n"
        "  $ klog doctor -o value\n";
    verb.add = add_doctor;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
