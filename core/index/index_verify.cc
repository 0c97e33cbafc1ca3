#include "index/index_verify.h"

#include <algorithm>

#include "base/crc32c.h"
#include "index/run_format.h"
#include "index/runs_file.h"
#include "index/wal_file_index.h"

namespace klog {
namespace {

constexpr std::size_t kReadBytes = 256U << 10U;
constexpr std::uint64_t kEntriesAtOnce = 128;  // between two words about how far it is

Error index_damage(const std::string& path, std::uint64_t offset, const std::string& what) {
    return {Code::corrupt, path + ": " + what + " (offset " + std::to_string(offset) + ")", ""};
}

RunClaim claim_of(const RunHeader& header) {
    return {header.store_uuid, header.covered_after, header.covered_upto, header.file_bytes};
}

// The checksum of `bytes` bytes from `offset` on, a part at a time.
Result<std::uint32_t> checksum_of(const File& file, const std::string& path, std::uint64_t offset,
                                  std::uint64_t bytes, const BytesRead& advanced) {
    std::string part;
    std::uint32_t crc = 0;
    for (std::uint64_t done = 0; done < bytes; done += part.size()) {
        part.resize(static_cast<std::size_t>(std::min<std::uint64_t>(kReadBytes, bytes - done)));
        KLOG_TRY_ASSIGN(const std::size_t got, file.read_at(offset + done, part));
        if (got != part.size()) return index_damage(path, offset + done + got, "ends too early");
        crc = crc32c(part, crc);
        if (advanced) advanced(got);
    }
    return crc;
}

}  // namespace

Result<RunClaim> verify_run(Env& env, const std::string& path, std::uint64_t number,
                            const BytesRead& advanced) {
    KLOG_TRY_ASSIGN(const auto run, RunFile::open(env, path, number));
    const RunHeader& header = run->header();
    for (std::size_t i = 0; i < kRunTables; ++i) {
        const auto table = static_cast<RunTable>(i);
        RunCursor cursor(run, table);
        std::uint64_t entries = 0;
        KLOG_TRY(cursor.next());
        while (!cursor.done()) {
            if (++entries % kEntriesAtOnce == 0 && advanced) {
                advanced(kEntriesAtOnce * run->layout(table).entry_bytes);
            }
            KLOG_TRY(cursor.next());
        }
    }
    return claim_of(header);
}

Result<RunClaim> each_head(Env& env, const std::string& path, std::uint64_t number,
                           const VisitHead& visit) {
    KLOG_TRY_ASSIGN(const auto run, RunFile::open(env, path, number));
    const RunClaim claim = claim_of(run->header());
    RunCursor cursor(run, RunTable::heads);
    KLOG_TRY(cursor.next());
    while (!cursor.done()) {
        visit(claim, cursor.hash(), RunEntry<HeadEntry>::entry(cursor.fields()));
        KLOG_TRY(cursor.next());
    }
    return claim;
}

Result<WalIndexClaim> verify_wal_file_index(Env& env, const std::string& path,
                                            const BytesRead& advanced) {
    KLOG_TRY_ASSIGN(const auto file, env.open(path, OpenMode::read));
    KLOG_TRY_ASSIGN(const std::uint64_t size, file->size());
    std::string bytes(kWalFileIndexHeaderBytes, '\0');
    KLOG_TRY_ASSIGN(const std::size_t got, file->read_at(0, bytes));
    bytes.resize(got);
    KLOG_TRY_ASSIGN(const WalFileIndexHeader header, decode_wal_file_index_header(bytes, path));
    if (size != header.file_bytes()) {
        return index_damage(path, size,
                            std::to_string(size) + " bytes long where its header says " +
                                std::to_string(header.file_bytes()));
    }
    const std::uint64_t entities_at = header.header_bytes + header.body_bytes;
    KLOG_TRY_ASSIGN(const std::uint32_t crc,
                    checksum_of(*file, path, header.header_bytes, header.body_bytes, advanced));
    if (crc != header.body_crc) {
        return index_damage(path, header.header_bytes, "what it lists fails its checksum");
    }
    KLOG_TRY_ASSIGN(const std::uint32_t entities_crc,
                    checksum_of(*file, path, entities_at, header.entity_bytes, advanced));
    if (header.has_entities && entities_crc != header.entities_crc) {
        return index_damage(path, entities_at, "its entities fail their checksum");
    }
    return WalIndexClaim{header.wal_id, header.end, size};
}

}  // namespace klog
