// One entity: a version of it, and its history, found by search from either end.
#include <algorithm>
#include <array>
#include <string>

#include "log/holes.h"
#include "log/log_impl.h"
#include "log/version_search.h"

namespace klog {
namespace {

Error no_such_key(std::string_view space, std::string_view key) {
    return Error{Code::not_found,
                 "no record of key \"" + std::string(key) + "\" in \"" + std::string(space) + "\"",
                 {}};
}

}  // namespace

// Versions have no gaps: one below the newest is there, or something was lost.
Result<OwnedRecord> LogImpl::version_of(std::string_view space, std::string_view key,
                                        Version version, Seq last_seq) {
    VersionSearch search(core_.id, wal_, catalog_, space, key);
    KLOG_TRY_ASSIGN(std::optional<OwnedRecord> found, search.find(version));
    if (found) return *std::move(found);
    if (const Hole* hole = catalog_.hole_before(core_.id, last_seq)) return hole_error(*hole);
    return Error{Code::corrupt,
                 "version " + std::to_string(version.value) + " of key \"" + std::string(key) +
                     "\" in \"" + std::string(space) + "\" is missing",
                 "klog verify"};
}

Result<OwnedRecord> LogImpl::get(std::string_view space, std::string_view key,
                                 std::optional<Version> version) {
    KLOG_TRY_ASSIGN(const EntityHead head, entity(space, key));
    if (head.version == Version{}) return no_such_key(space, key);
    if (!version || *version == head.version) return record_at(head.last_seq);
    if (*version > head.version || *version == Version{}) {
        Error error = no_such_key(space, key);
        error.message = "version " + std::to_string(version->value) +
                        " does not exist, the newest is " + std::to_string(head.version.value);
        return error;
    }
    return version_of(space, key, *version, head.last_seq);
}

Result<std::unique_ptr<Reader>> LogImpl::history(const HistoryOptions& options) {
    KLOG_TRY_ASSIGN(const EntityHead head, entity(options.space, options.key));
    if (head.version == Version{}) return no_such_key(options.space, options.key);
    const std::uint64_t last = std::min(options.last, head.version).value;
    std::uint64_t first = std::max<std::uint64_t>(options.first.value, 1);
    if (last >= options.newest) first = std::max(first, last - options.newest + 1);
    const std::array<std::string, 2> filters = {options.space, options.space + "/>"};
    KLOG_TRY_ASSIGN(FilterSet set, FilterSet::parse(filters, {}));
    LogReader::Range range{head.last_seq, head.last_seq, false, std::nullopt};
    if (first <= last) {
        range.after = Seq{};
        if (first > 1) {
            KLOG_TRY_ASSIGN(const OwnedRecord begin,
                            version_of(options.space, options.key, Version{first}, head.last_seq));
            range.after = Seq{begin.view.seq.value - 1};
        }
        if (last < head.version.value) {
            KLOG_TRY_ASSIGN(const OwnedRecord end,
                            version_of(options.space, options.key, Version{last}, head.last_seq));
            range.end = end.view.seq;
        }
    }
    std::unique_ptr<Reader> reader = std::make_unique<LogReader>(
        source(), core_.tail, std::move(set), options.key, wal_.hash_key(), range);
    return reader;
}

}  // namespace klog
