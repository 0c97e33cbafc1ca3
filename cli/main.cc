#include <cstdlib>
#include <string>
#include <vector>

#include "cli/args.h"
#include "cli/context.h"
#include "cli/output.h"
#include "cli/signals.h"

namespace {

std::optional<std::string> environment(const std::string& name) {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return std::string(value);
}

int print(const std::string& text) {
    klog::cli::Output out;
    out.append(text);
    const auto open = out.flush();
    return open ? 0 : klog::cli::report(open.error());
}

}  // namespace

int main(int argc, char** argv) {
    using namespace klog::cli;
    const std::vector<std::string> args(argv + (argc > 0 ? 1 : 0), argv + argc);
    Context context;
    context.environment = environment;
    auto parsed = parse_args(args, context);
    if (!parsed) return report(parsed.error());
    if (!parsed->help.empty()) return print(parsed->help);
    if (parsed->verb->client) take_client_signals();
    const auto code = parsed->run(context);
    return code ? *code : report(code.error());
}
