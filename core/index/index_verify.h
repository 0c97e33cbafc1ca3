// Checks the disposable files under index/, for klog/verify.h. Reads only.
//
// Messages about damage name the offset, as "… offset 4096 …", where there is one to name.
#ifndef KLOG_INDEX_INDEX_VERIFY_H
#define KLOG_INDEX_INDEX_VERIFY_H

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/siphash.h"
#include "index/runs.h"
#include "klog/env.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog {

// Called with the bytes that were read since the last call; may be empty.
using BytesRead = std::function<void(std::uint64_t)>;

// What a sound file claims to know.
struct RunClaim {
    std::array<std::uint8_t, 16> store_uuid{};
    Seq covered_after;
    Seq covered_upto;
    std::uint64_t bytes = 0;
};
// Header, fences, filters, every block and the order of what is in them. Memory: fences and
// filters, as whoever uses the run needs, and 128 KiB. Errors: corrupt, format_unknown, not_found,
// io.
[[nodiscard]] Result<RunClaim> verify_run(Env& env, const std::string& path, std::uint64_t number,
                                          const BytesRead& advanced);

// The heads that a run holds. Errors: as verify_run.
using VisitHead =
    std::function<void(const RunClaim& claim, const Hash128& entity, const HeadEntry& head)>;
[[nodiscard]] Result<RunClaim> each_head(Env& env, const std::string& path, std::uint64_t number,
                                         const VisitHead& visit);

struct WalIndexClaim {
    std::uint64_t wal_id = 0;
    std::uint64_t end = 0;  // where that file ended
    std::uint64_t bytes = 0;
};
// Header, and the checksum over the rest, a part at a time. Errors: corrupt, format_unknown,
// not_found, io.
[[nodiscard]] Result<WalIndexClaim> verify_wal_file_index(Env& env, const std::string& path,
                                                          const BytesRead& advanced);

struct KeyIndexClaim {
    std::string store_uuid;  // 32 hexadecimal digits; empty: it has no tables yet
    Seq watermark;
};
// SQLite's quick_check of the database at `path`, with its journal if it has one, whoever else has
// it open; then each block of keys: checksum, order, and that the runs hold as many keys as they
// say. Nothing is written but the shared memory beside the journal, and that only where a crash
// left it unusable. SQLite keeps no checksums: a changed byte in the name of a space or in a topic
// is not noticed. `start`, if given, gives what is called for each key; where a look has to begin
// anew it is asked again. A key occurs once for each run that holds it. Errors: corrupt,
// format_unknown, not_found, locked, io.
using VisitKey = std::function<void(std::string_view space, std::string_view key)>;
using StartKeys = std::function<VisitKey()>;
[[nodiscard]] Result<KeyIndexClaim> verify_key_index(Env& env, const std::string& path,
                                                     const StartKeys& start = {});

}  // namespace klog

#endif  // KLOG_INDEX_INDEX_VERIFY_H
