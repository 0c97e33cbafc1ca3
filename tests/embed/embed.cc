// Opens a store, writes, reads back, and finds all of it again after a second open: everything
// that an embedder needs, through the installed headers alone.
#include <klog/env.h>
#include <klog/log.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

void check(bool holds, const char* what) {
    if (holds) return;
    std::fprintf(stderr, "embed: %s\n", what);
    std::exit(1);
}

template <class T>
T take(klog::Result<T> result) {
    if (!result.ok()) {
        std::fprintf(stderr, "embed: %s\n", result.error().message.c_str());
        std::exit(1);
    }
    return std::move(result).value();
}

std::unique_ptr<klog::Store> open(klog::Env& env, const std::string& dir) {
    klog::StoreOptions options;
    options.dir = dir;
    return take(klog::Store::open(env, options));
}

// No thread is lent to the store, so an append is finished when it returns.
std::vector<klog::WriteResult> append(klog::Log& log, std::string_view value,
                                      const klog::Expect& expect) {
    auto batch = std::make_unique<klog::WriteBatch>();
    klog::WriteRecord record;
    record.topic = "orders/1/created";
    record.key = "1";
    record.has_key = true;
    record.value = batch->keep(std::string(value));
    record.expect = expect;
    batch->records.push_back(record);
    std::vector<klog::WriteResult> results;
    batch->done = [&results](std::unique_ptr<klog::WriteBatch> done) {
        results = std::move(done->results);
    };
    log.append(std::move(batch));
    check(results.size() == 1, "an append without threads is done when it returns");
    return results;
}

std::vector<std::string> values(klog::Log& log) {
    klog::ReadOptions options;
    options.filters = {"orders/*/created"};
    const auto reader = take(log.read(options));
    std::vector<std::string> found;
    for (bool end = false; !end;) {
        const klog::ReadChunk chunk = take(reader->read(1U << 16U, 100));
        for (const klog::RecordView& record : chunk.records) found.emplace_back(record.value);
        end = chunk.end;
    }
    return found;
}

}  // namespace

int main(int argc, char** argv) {
    check(argc == 2, "usage: embed DIR");
    const std::string dir = std::string(argv[1]) + "/store";
    const std::unique_ptr<klog::Env> env = klog::make_posix_env();
    const std::vector<std::string> expected = {R"({"amount":12.5})", R"({"amount":13})"};
    {
        const auto store = open(*env, dir);
        klog::Log& log = store->default_log();
        using Outcome = klog::WriteResult::Outcome;
        const klog::Expect never{klog::Expect::Form::version, 0};
        const auto first = append(log, expected[0], never);
        check(first[0].outcome == Outcome::written, "the first write is written");
        check(first[0].version == klog::Version{1}, "the first version is 1");
        const auto stale = append(log, "{}", never);
        check(stale[0].outcome == Outcome::refused, "a stale write is refused");
        check(stale[0].conflict && stale[0].conflict->actual == klog::Version{1},
              "a refusal names the version that is there");
        const auto second = append(log, expected[1], {klog::Expect::Form::version, 1});
        check(second[0].version == klog::Version{2}, "the second version is 2");
        check(values(log) == expected, "what was written is read back");
        check(store->close().ok(), "the store closes");
    }
    const auto store = open(*env, dir);
    check(store->recovery().clean, "the last stop was clean");
    check(values(store->default_log()) == expected, "what was written is there after a new start");
    std::puts("embed: ok");
    return 0;
}
