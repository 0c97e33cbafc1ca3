// What it costs to decide: see ../decide.py, which starts the servers and prints the tables.
//
//   klog_decide_bench append SERVER WHERE PID CONNECTIONS BATCH SECONDS
//   klog_decide_bench guards WHERE PID SECONDS
//
//   SERVER  klog, umadb or tephra, which listens at WHERE (HOST:PORT, for klog a socket's path too)
//           and is process PID, with an empty data directory
//   append  closed loop: CONNECTIONS at once, each with one append of BATCH events under way,
//           each append with one condition
//   guards  one stream into klog, with a guard a record and without, in turns
//
// One line of JSON a figure. Ends at the first append that is refused.
#include <fmt/format.h>

#include <cstdlib>

#include "tests/bench/decide/load.h"

namespace {

using namespace klog::decide;

std::unique_ptr<Writer> make_writer(const std::string& server, std::size_t number,
                                    std::size_t batch) {
    if (server == "klog") return klog_writer(number, batch);
    if (server == "umadb") return umadb_writer(number, batch);
    if (server == "tephra") return tephra_writer(number, batch);
    die("no such server: " + server);
}

std::size_t count_of(const char* text) {
    const long count = std::strtol(text, nullptr, 10);
    if (count < 1) die("a count is at least 1");
    return static_cast<std::size_t>(count);
}

void append(char** args) {
    const std::size_t connections = count_of(args[3]);
    const std::size_t batch = count_of(args[4]);
    std::vector<std::unique_ptr<Writer>> writers;
    for (std::size_t i = 0; i < connections; ++i) {
        writers.push_back(make_writer(args[0], i, batch));
    }
    const Load load = run_load(args[1], static_cast<int>(count_of(args[2])), std::move(writers),
                               std::strtod(args[5], nullptr));
    const double appends = static_cast<double>(load.appends) / load.seconds;
    fmt::print(R"({{"appends_s":{:.0f},"events_s":{:.0f},"p50_us":{:.0f},"p99_us":{:.0f},)"
               R"("server_processors":{:.2f},"client_processors":{:.2f}}})"
               "\n",
               appends, appends * static_cast<double>(batch), load.p50_us, load.p99_us,
               load.server_seconds / load.seconds, load.client_seconds / load.seconds);
}

}  // namespace

int main(int argc, char** argv) {
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "append" && argc == 8) {
        append(argv + 2);
    } else if (what == "guards" && argc == 5) {
        run_guards(argv[2], static_cast<int>(count_of(argv[3])), std::strtod(argv[4], nullptr));
    } else {
        die("usage: append SERVER WHERE PID CONNECTIONS BATCH SECONDS | guards WHERE PID SECONDS");
    }
    return 0;
}
