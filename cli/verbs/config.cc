#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/context.h"
#include "cli/output.h"
#include "cli/verb.h"

namespace klog::cli {
namespace {

struct ConfigFlags {
    std::string action;
    std::string config;
    bool origin = false;
};

struct Row {
    std::string name;
    std::string value;
    std::string origin;
};

std::vector<Row> rows_of(const Context& context) {
    std::vector<Row> rows;
    for (const auto& [name, setting] : context.settings()) {
        std::string value = setting.value;
        if (name == "url") value = context.url();
        if (config::is_secret(name) && !value.empty()) value = "********";
        rows.push_back(Row{name, std::move(value), setting.origin});
    }
    return rows;
}

std::string pretty(const std::vector<Row>& rows, bool origin) {
    std::size_t name_columns = 0;
    std::size_t value_columns = 1;
    for (const Row& row : rows) {
        name_columns = std::max(name_columns, row.name.size());
        value_columns = std::max(value_columns, row.value.size());
    }
    std::string text;
    for (const Row& row : rows) {
        const std::string value = row.value.empty() ? "-" : row.value;
        text += row.name + std::string(name_columns - row.name.size() + 2, ' ') + value;
        if (origin) text += std::string(value_columns - value.size() + 2, ' ') + row.origin;
        text += '\n';
    }
    return text;
}

nlohmann::ordered_json object_of(const Row& row, bool origin) {
    nlohmann::ordered_json object = {{"name", row.name}};
    if (!row.value.empty()) object["value"] = row.value;
    if (origin) object["origin"] = row.origin;
    return object;
}

std::string dump(const nlohmann::ordered_json& json, int indent) {
    return json.dump(indent, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string render(const std::vector<Row>& rows, OutputMode mode, bool origin) {
    if (mode == OutputMode::pretty) return pretty(rows, origin);
    std::string text;
    auto all = nlohmann::ordered_json::array();
    for (const Row& row : rows) {
        if (mode == OutputMode::value) text += row.value + "\n";
        if (mode == OutputMode::ndjson) text += dump(object_of(row, origin), -1);
        if (mode == OutputMode::json) all.push_back(object_of(row, origin));
    }
    return mode == OutputMode::json ? dump(all, 2) : text;
}

Result<int> run(Context& context, const ConfigFlags& given) {
    if (given.action != "show") {
        return Error{Code::usage, "there is no config " + given.action, "klog config show"};
    }
    std::optional<std::string> file;
    if (!given.config.empty()) file = given.config;
    KLOG_TRY(context.load({}, file));
    Output out;
    out.append(render(rows_of(context), context.output(), given.origin));
    KLOG_TRY_ASSIGN([[maybe_unused]] const bool open, out.flush());
    return 0;
}

Run add_config(CLI::App& app) {
    auto flags = std::make_shared<ConfigFlags>();
    app.add_option("ACTION", flags->action, "show")->required();
    app.add_flag("--origin", flags->origin, "say where each value came from");
    app.add_option("--config", flags->config, "settings from this file alone")->type_name("F");
    return [flags](Context& context) { return run(context, *flags); };
}

}  // namespace

Verb config_verb() {
    Verb verb;
    verb.name = "config";
    verb.summary = "the settings that count, and where they came from";
    verb.synopsis = "show [options]";
    verb.examples =
        "  $ klog config show\n"
        "  $ klog config show --origin -o json\n";
    verb.add = add_config;
    verb.client = true;
    return verb;
}

}  // namespace klog::cli
