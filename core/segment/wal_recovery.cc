#include "segment/wal_recovery.h"

#include <algorithm>
#include <charconv>
#include <deque>

#include "base/coding.h"

namespace klog {

namespace {

constexpr std::size_t kNameDigits = 20;
constexpr std::string_view kSuffix = ".wal";
constexpr std::uint64_t kScanBytes = 1U << 20U;
// Read at once for the headers of small frames; of a larger one only the header is read.
constexpr std::uint64_t kWalkBytes = 64U << 10U;
constexpr std::uint64_t kWalkHeaderBytes = 4U << 10U;

// A place between two frames.
struct Boundary {
    std::uint64_t offset = 0;
    std::uint32_t chain = 0;
};

Error lost(const std::string& what) {
    return {Code::corrupt, what, "a part of the log was lost; restore the directory from a copy"};
}

Result<std::optional<CleanMarker>> read_marker(Env& env, const std::string& path,
                                               WalJudgement& judgement) {
    KLOG_TRY_ASSIGN(const auto file, env.open(path, OpenMode::read));
    KLOG_TRY_ASSIGN(const auto bytes, read_exactly(*file, 0, kCleanMarkerBytes));
    auto marker = decode_clean_marker(bytes.value_or(std::string()), path);
    if (marker.ok()) return std::optional<CleanMarker>(std::move(marker).value());
    if (marker.error().code != Code::corrupt || judgement.files.empty()) {
        return std::move(marker).error();
    }
    // It only ever narrows what the log may have lost; without it the log speaks for itself.
    judgement.report.notices.push_back(marker.error().message + "; taken as an unclean stop");
    return std::optional<CleanMarker>();
}

// The newest file so far ends where `newer`, the next one, says.
Status link_files(Env& env, const WalFileState& newer, WalJudgement& judgement) {
    WalFileState& older = judgement.files.back();
    const WalFileHeader& header = newer.info.header;
    const bool follows = header.previous_wal_id == older.info.header.wal_id &&
                         header.store_uuid == older.info.header.store_uuid &&
                         header.incarnation >= older.info.header.incarnation &&
                         header.previous_end >= kWalFileHeaderBytes;
    if (!follows) {
        return lost(newer.info.path + ": the header does not follow on " + older.info.path);
    }
    older.info.end = header.previous_end;
    older.info.closed = true;
    older.end_chain = header.previous_chain;
    KLOG_TRY_ASSIGN(const auto file, env.open(older.info.path, OpenMode::read));
    KLOG_TRY_ASSIGN(const std::uint64_t size, file->size());
    if (size < older.info.end) {
        return wal_damage(older.info.path, size,
                          "the file ends there, but " + std::to_string(older.info.end) +
                              " bytes of it were synced");
    }
    if (size > older.info.end) judgement.uncut.emplace_back(older.info.path, older.info.end);
    return {};
}

// Nothing between what is sealed and the oldest file may be missing.
Status check_oldest(const std::string& wal_dir, std::optional<std::uint64_t> oldest,
                    const SegmentSetState& set) {
    const std::uint64_t sealed = set.sealed.wal_id;
    if (!oldest) {
        if (set.number == 0) return {};  // a new store
        return lost(wal_dir + ": the set of segments ends with WAL file " + std::to_string(sealed) +
                    ", and no newer file is there");
    }
    if (*oldest == sealed + 1) return {};
    if (set.number == 0) {
        return lost(wal_dir + "/" + wal_file_name(*oldest) + " stands where " + wal_file_name(1) +
                    " should, and there is no set of segments (seg/manifest) that holds what was "
                    "before it");
    }
    return lost(wal_dir + ": the set of segments ends with WAL file " + std::to_string(sealed) +
                ", the oldest file left is " + std::to_string(*oldest));
}

Status read_headers(Env& env, const std::string& wal_dir, std::vector<std::uint64_t> ids,
                    const SegmentSetState& set, WalJudgement& judgement) {
    std::sort(ids.begin(), ids.end());
    const auto first = std::upper_bound(ids.begin(), ids.end(), set.sealed.wal_id);
    for (auto id = ids.begin(); id != first; ++id) {
        judgement.void_paths.push_back(wal_dir + "/" + wal_file_name(*id));
    }
    ids.erase(ids.begin(), first);
    KLOG_TRY(check_oldest(
        wal_dir, ids.empty() ? std::nullopt : std::optional<std::uint64_t>(ids.front()), set));
    std::uint64_t expected = set.sealed.wal_id + 1;
    for (const std::uint64_t id : ids) {
        const std::string path = wal_dir + "/" + wal_file_name(id);
        if (id != expected) {
            return lost(path + " stands where " + wal_file_name(expected) + " should");
        }
        ++expected;
        KLOG_TRY_ASSIGN(WalFileState state, read_wal_header(env, path, id));
        KLOG_TRY(judgement.files.empty() ? check_follows_sealed(state, set)
                                         : link_files(env, state, judgement));
        judgement.files.push_back(std::move(state));
    }
    return {};
}

// Looks at every offset at which a frame may begin, also behind broken ones.
class TailScan {
public:
    explicit TailScan(const WalFileState& state)
        : header_(state.info.header),
          watermark_(std::max<std::uint64_t>(kWalFileHeaderBytes, header_.synced_upto_initial)),
          on_chain_{kWalFileHeaderBytes, state.header_crc},
          boundaries_{on_chain_} {
        forget_below_watermark();
    }

    Status run(const File& file, std::uint64_t size) {
        size_ = size;
        std::string buffer;
        for (std::uint64_t at = kWalFileHeaderBytes; at < size; at += kScanBytes) {
            // The headers that begin in this part may reach into the next one.
            const std::uint64_t wanted = std::min(kScanBytes + kFrameHeaderBytes, size - at);
            buffer.resize(static_cast<std::size_t>(wanted));
            KLOG_TRY_ASSIGN(const std::size_t got, file.read_at(at, buffer));
            buffer.resize(got);
            look_at(buffer, at);
        }
        return {};
    }

    [[nodiscard]] std::uint64_t watermark() const { return watermark_; }
    // How far the chain of sound headers goes.
    [[nodiscard]] std::uint64_t chain_end() const { return on_chain_.offset; }
    [[nodiscard]] std::optional<Boundary> at_watermark() const {
        if (boundaries_.empty() || boundaries_.front().offset != watermark_) return {};
        return boundaries_.front();
    }
    // Behind the last frame, whole or torn, of which this file's salt is there: what else stands in
    // a file may be left from an earlier use of its room.
    [[nodiscard]] std::uint64_t used() const { return used_; }

private:
    void look_at(std::string_view part, std::uint64_t part_at) {
        const std::size_t stop = std::min<std::size_t>(part.size(), kScanBytes);
        for (std::size_t i = 0; i < stop && part.size() - i >= kFrameHeaderBytes;
             i += kFrameAlignment) {
            if (load_fixed<std::uint64_t>(part.data() + i + kFrameSaltAt) != header_.salt) continue;
            const std::uint64_t at = part_at + i;
            used_ = std::max(used_, at + kFrameHeaderBytes);
            const auto frame =
                decode_frame_header(part.substr(i), header_.salt, header_.wal_id, at);
            if (!frame) continue;
            used_ = std::max(used_, std::min(at + frame->total_bytes(), size_));
            take(*frame);
        }
    }

    void take(const FrameHeader& frame) {
        if (frame.offset == on_chain_.offset && frame.prev_crc == on_chain_.chain) {
            on_chain_ = {frame.offset + frame.total_bytes(), frame.header_crc};
            boundaries_.push_back(on_chain_);
        }
        watermark_ = std::max(watermark_, frame.synced_upto);
        forget_below_watermark();
    }

    void forget_below_watermark() {
        while (!boundaries_.empty() && boundaries_.front().offset < watermark_) {
            boundaries_.pop_front();
        }
    }

    const WalFileHeader& header_;
    std::uint64_t watermark_;
    Boundary on_chain_;
    std::deque<Boundary> boundaries_;  // on the chain, at or above the watermark
    std::uint64_t size_ = 0;
    std::uint64_t used_ = kWalFileHeaderBytes;
};

// Follows the sound frames of whole transactions from the watermark on.
Status follow_tail(const File& file, const WalFileState& state, WalJudgement& judgement) {
    const WalFileHeader& file_header = state.info.header;
    std::uint64_t at = state.info.end;
    std::uint32_t chain = state.end_chain;
    bool in_txn = false;
    judgement.carry_end = at;
    judgement.carry_end_chain = chain;
    while (true) {
        KLOG_TRY_ASSIGN(const auto fixed, read_exactly(file, at, kFrameHeaderBytes));
        if (!fixed) return {};
        const auto header = decode_frame_header(*fixed, file_header.salt, file_header.wal_id, at);
        if (!header || header->prev_crc != chain) return {};
        KLOG_TRY_ASSIGN(const auto bytes, read_exactly(file, at, header->total_bytes()));
        if (!bytes) return {};
        const std::size_t body =
            std::size_t{header->header_bytes} + header->payload_bytes - kFrameHeaderBytes;
        const auto checked = std::string_view(*bytes).substr(kFrameHeaderBytes, body);
        if (payload_checksum(checked, file_header.salt) != header->payload_crc) return {};
        KLOG_TRY(check_frame_known(*header, *bytes, state.info.path));
        const bool first = (header->flags & FrameHeader::kTxnFirst) != 0;
        if (first == in_txn) {
            return wal_damage(state.info.path, at, "the frame breaks up a batch");
        }
        ++judgement.report.frames_checked;
        at += header->total_bytes();
        chain = header->header_crc;
        in_txn = (header->flags & FrameHeader::kTxnLast) == 0;
        if (!in_txn) {
            judgement.carry_end = at;
            judgement.carry_end_chain = chain;
        }
    }
}

Status judge_unclean(const File& file, std::uint64_t size, WalJudgement& judgement) {
    WalFileState& state = judgement.files.back();
    TailScan scan(state);
    KLOG_TRY(scan.run(file, size));
    const auto proven = scan.at_watermark();
    if (!proven || scan.watermark() > size) {
        const std::uint64_t where = std::min({scan.chain_end(), scan.watermark(), size});
        return wal_damage(
            state.info.path, where,
            "everything before offset " + std::to_string(scan.watermark()) + " had been synced");
    }
    state.info.end = proven->offset;
    state.end_chain = proven->chain;
    KLOG_TRY(follow_tail(file, state, judgement));
    judgement.report.clean = false;
    if (scan.used() > judgement.carry_end) {
        judgement.report.bytes_dropped = scan.used() - judgement.carry_end;
    }
    return {};
}

// Only headers: what they hold is checked when it is read.
Status judge_clean(const File& file, WalJudgement& judgement) {
    WalFileState& state = judgement.files.back();
    const CleanMarker& marker = *judgement.marker;
    const WalFileHeader& header = state.info.header;
    std::uint64_t at = kWalFileHeaderBytes;
    std::uint32_t chain = state.header_crc;
    std::string buffer;
    std::uint64_t buffer_at = 0;
    std::uint64_t window = kWalkBytes;
    while (at < marker.end) {
        if (buffer_at > at || buffer_at + buffer.size() < at + kFrameHeaderBytes) {
            buffer.resize(window);
            KLOG_TRY_ASSIGN(const std::size_t got, file.read_at(at, buffer));
            buffer.resize(got);
            buffer_at = at;
        }
        const auto rest = std::string_view(buffer).substr(static_cast<std::size_t>(at - buffer_at));
        const auto frame = decode_frame_header(rest, header.salt, header.wal_id, at);
        if (!frame || frame->prev_crc != chain) {
            return wal_damage(state.info.path, at, "no sound frame header stands there");
        }
        ++judgement.report.frames_checked;
        at += frame->total_bytes();
        chain = frame->header_crc;
        // The next frame is mostly like this one.
        window = frame->total_bytes() < kWalkBytes ? kWalkBytes : kWalkHeaderBytes;
    }
    if (at != marker.end || chain != marker.chain) {
        return wal_damage(state.info.path, marker.end,
                          "the log does not end as the clean marker says");
    }
    state.info.end = at;
    state.end_chain = chain;
    judgement.carry_end = at;
    judgement.carry_end_chain = chain;
    return {};
}

// Whether the marker speaks of the log's present end; or it says that the log was lost.
Result<bool> marker_counts(const CleanMarker& marker, const WalJudgement& judgement,
                           const std::string& path) {
    if (judgement.files.empty()) {
        return lost(path + ": a clean stop is marked, but there is no file of the log");
    }
    const WalFileHeader& newest = judgement.files.back().info.header;
    if (marker.store_uuid != newest.store_uuid) {
        return lost(path + ": the clean marker belongs to another store");
    }
    if (marker.incarnation < newest.incarnation) return false;
    if (marker.incarnation > newest.incarnation || marker.wal_id != newest.wal_id) {
        return lost(path + ": the log ended in " + wal_file_name(marker.wal_id) +
                    ", which is not the last file here");
    }
    return true;
}

}  // namespace

std::string wal_file_name(std::uint64_t wal_id) {
    const std::string digits = std::to_string(wal_id);
    return std::string(kNameDigits - digits.size(), '0') + digits + std::string(kSuffix);
}

std::optional<std::uint64_t> wal_id_of(const std::string& name) {
    if (name.size() != kNameDigits + kSuffix.size() || !name.ends_with(kSuffix)) return {};
    std::uint64_t id = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + kNameDigits, id);
    if (error != std::errc() || end != name.data() + kNameDigits) return {};
    return id;
}

Result<WalFileState> read_wal_header(Env& env, const std::string& path, std::uint64_t wal_id) {
    KLOG_TRY_ASSIGN(const auto file, env.open(path, OpenMode::read));
    KLOG_TRY_ASSIGN(const auto bytes, read_exactly(*file, 0, kWalFileHeaderBytes));
    WalFileState state;
    KLOG_TRY_ASSIGN(state.info.header, decode_file_header(bytes.value_or(std::string()), path));
    if (state.info.header.wal_id != wal_id) {
        return lost(path + ": the header says that this is file " +
                    std::to_string(state.info.header.wal_id) + " of the log");
    }
    state.info.path = path;
    state.header_crc = file_header_checksum(*bytes);
    state.end_chain = state.header_crc;
    state.info.end = kWalFileHeaderBytes;
    return state;
}

Result<WalTail> scan_wal_tail(const File& file, const WalFileState& state, std::uint64_t size) {
    TailScan scan(state);
    KLOG_TRY(scan.run(file, size));
    return WalTail{scan.watermark(), scan.used()};
}

Status check_follows_sealed(const WalFileState& oldest, const SegmentSetState& set) {
    const WalFileHeader& header = oldest.info.header;
    if (set.number != 0 &&
        (header.store_uuid != set.store_uuid || header.hash_key != set.hash_key)) {
        return lost(oldest.info.path +
                    ": the file and the set of segments (seg/manifest) belong "
                    "to different stores");
    }
    const SealedUpto before{header.previous_wal_id, header.previous_end, header.previous_chain};
    if (before == set.sealed) return {};
    if (set.sealed.wal_id == 0) {
        return lost(oldest.info.path + ": the header names a file before it, which is missing");
    }
    return lost(oldest.info.path + ": the header says that WAL file " +
                std::to_string(before.wal_id) + " before it ends at " + std::to_string(before.end) +
                ", the set of segments (seg/manifest) holds file " +
                std::to_string(set.sealed.wal_id) + " up to " + std::to_string(set.sealed.end) +
                (before.end == set.sealed.end ? " with another content" : ""));
}

Status check_set_of_marker(const CleanMarker& marker, const SegmentSetState& set,
                           const std::string& path) {
    if (set.number >= marker.manifest_number) return {};
    return lost(
        path + ": at the last clean stop the set of segments (seg/manifest) had the number " +
        std::to_string(marker.manifest_number) + ", now " +
        (set.number == 0 ? "there is none" : "it has the number " + std::to_string(set.number)));
}

std::array<std::uint64_t, 2> WalJudgement::settings_checkpoint() const {
    if (files.empty()) return {};
    std::array<std::uint64_t, 2> newest = files.back().info.header.settings_checkpoint;
    if (!marker) return newest;
    for (std::size_t i = 0; i < newest.size(); ++i) {
        newest[i] = std::max(newest[i], marker->settings_checkpoint[i]);
    }
    return newest;
}

Result<WalJudgement> judge_wal(Env& env, const std::string& wal_dir, const SegmentSetState& set) {
    WalJudgement judgement;
    std::vector<std::uint64_t> ids;
    bool marked = false;
    KLOG_TRY_ASSIGN(const std::vector<std::string> names, env.list_dir(wal_dir));
    for (const std::string& name : names) {
        if (const auto id = wal_id_of(name)) ids.push_back(*id);
        if (name == kCleanMarkerName) marked = true;
        if (name.starts_with(kSparePrefix)) judgement.spares.push_back(name);
    }
    KLOG_TRY(read_headers(env, wal_dir, std::move(ids), set, judgement));
    if (marked) {
        const std::string path = wal_dir + "/" + kCleanMarkerName;
        KLOG_TRY_ASSIGN(judgement.marker, read_marker(env, path, judgement));
        if (judgement.marker) {
            KLOG_TRY(check_set_of_marker(*judgement.marker, set, path));
            KLOG_TRY_ASSIGN(const bool counts, marker_counts(*judgement.marker, judgement, path));
            if (!counts) judgement.marker.reset();
        }
    }
    if (judgement.files.empty()) return judgement;
    const WalFileState& last = judgement.files.back();
    KLOG_TRY_ASSIGN(const auto file, env.open(last.info.path, OpenMode::read));
    KLOG_TRY_ASSIGN(const std::uint64_t size, file->size());
    if (!judgement.marker) {
        KLOG_TRY(judge_unclean(*file, size, judgement));
        return judgement;
    }
    if (judgement.marker->end > size) {
        return lost(last.info.path + ": the file ends at offset " + std::to_string(size) +
                    ", but it was closed at " + std::to_string(judgement.marker->end));
    }
    KLOG_TRY(judge_clean(*file, judgement));
    return judgement;
}

}  // namespace klog
