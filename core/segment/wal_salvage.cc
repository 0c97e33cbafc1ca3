#include "segment/wal_salvage.h"

#include <algorithm>
#include <utility>

#include "segment/wal_recovery.h"

namespace klog {
namespace {

bool is_damage(const Error& error) { return error.code == Code::corrupt || error.code == Code::io; }

// How far the sound frames of whole transactions go.
struct Prefix {
    std::uint64_t end = kWalFileHeaderBytes;
    std::uint32_t chain = 0;
    std::string why;  // there are no more; empty: the file ends
};

Result<Prefix> sound_prefix(Env& env, WalFileState state, std::uint64_t size) {
    Prefix prefix;
    prefix.chain = state.header_crc;
    state.info.end = std::max<std::uint64_t>(size, kWalFileHeaderBytes);
    state.end_chain = 0;  // nobody knows it
    KLOG_TRY_ASSIGN(const auto reader, make_wal_frame_reader(env, state, kWalFileHeaderBytes));
    bool in_txn = false;
    while (reader->offset() < state.info.end) {
        const auto next = reader->next();
        if (!next.ok()) {
            if (!is_damage(next.error())) return next.error();
            prefix.why = next.error().message;
            break;
        }
        const FrameHeader& header = (*next)->header;
        const bool first = (header.flags & FrameHeader::kTxnFirst) != 0;
        if (first == in_txn) {
            prefix.why =
                wal_damage(state.info.path, header.offset, "the frame breaks up a batch").message;
            break;
        }
        in_txn = (header.flags & FrameHeader::kTxnLast) == 0;
        if (in_txn) continue;
        prefix.end = reader->offset();
        prefix.chain = header.header_crc;
    }
    return prefix;
}

class Salvager {
public:
    Salvager(Env& env, const std::string& wal_dir, const SegmentSetState& set, const Error& refused)
        : env_(env), wal_dir_(wal_dir), set_(set), refused_(refused) {}

    Result<WalSalvage> run() {
        KLOG_TRY(list());
        KLOG_TRY(read_marker());
        KLOG_TRY(read_headers());
        KLOG_TRY(check_identity());
        KLOG_TRY(check_beginning());
        KLOG_TRY(check_links());
        for (std::size_t i = 0; i < candidates_.size(); ++i) KLOG_TRY(settle_end(i));
        note_gaps();
        std::stable_sort(
            found_.damages.begin(), found_.damages.end(),
            [](const WalDamage& a, const WalDamage& b) { return a.wal_id < b.wal_id; });
        found_.end_lost = !found_.damages.empty() &&
                          (found_.files.empty() ||
                           found_.damages.back().wal_id >= found_.files.back().info.header.wal_id);
        return std::move(found_);
    }

private:
    [[nodiscard]] std::string path_of(std::uint64_t wal_id) const {
        return wal_dir_ + "/" + wal_file_name(wal_id);
    }
    void damaged(std::uint64_t wal_id, std::string why) {
        found_.damages.push_back(WalDamage{wal_id, std::move(why)});
    }

    Status list() {
        auto names = env_.list_dir(wal_dir_);
        if (!names.ok()) {
            if (names.error().code == Code::not_found) return {};
            return std::move(names).error();
        }
        for (const std::string& name : *names) {
            const auto id = wal_id_of(name);
            if (id && *id > set_.sealed.wal_id) ids_.push_back(*id);
            if (name == kCleanMarkerName) marked_ = true;
        }
        std::sort(ids_.begin(), ids_.end());
        return {};
    }

    // It only ever narrows what may be missing, so one that cannot be read says nothing.
    Status read_marker() {
        if (!marked_) return {};
        const std::string path = wal_dir_ + "/" + kCleanMarkerName;
        KLOG_TRY_ASSIGN(const auto file, env_.open(path, OpenMode::read));
        auto bytes = read_exactly(*file, 0, kCleanMarkerBytes);
        auto marker = bytes.ok() ? decode_clean_marker(bytes->value_or(std::string()), path)
                                 : Result<CleanMarker>(std::move(bytes).error());
        if (marker.ok()) {
            found_.marker = *std::move(marker);
        } else if (is_damage(marker.error())) {
            found_.notices.push_back(marker.error().message + "; taken as an unclean stop");
        } else {
            return std::move(marker).error();
        }
        return {};
    }

    Status read_headers() {
        for (const std::uint64_t id : ids_) {
            auto state = read_wal_header(env_, path_of(id), id);
            if (state.ok()) {
                candidates_.push_back(std::move(state).value());
            } else if (is_damage(state.error())) {
                damaged(id, state.error().message);
            } else {
                return std::move(state).error();
            }
        }
        return {};
    }

    // Of which store all of it is: what the set says, else the newest file.
    Status check_identity() {
        if (set_.number == 0 && candidates_.empty()) return refused_;
        const WalFileHeader newest =
            candidates_.empty() ? WalFileHeader{} : candidates_.back().info.header;
        const StoreUuid& uuid = set_.number != 0 ? set_.store_uuid : newest.store_uuid;
        const HashKey& key = set_.number != 0 ? set_.hash_key : newest.hash_key;
        std::erase_if(candidates_, [&](const WalFileState& state) {
            const WalFileHeader& header = state.info.header;
            if (header.store_uuid == uuid && header.hash_key == key) return false;
            damaged(header.wal_id, state.info.path + ": the file belongs to another store");
            return true;
        });
        if (found_.marker && found_.marker->store_uuid != uuid) {
            found_.notices.push_back(wal_dir_ + "/" + kCleanMarkerName +
                                     ": the clean marker belongs to another store");
            found_.marker.reset();
        }
        return {};
    }

    // Where the set is not the one that belongs to these files, nobody knows what is between them.
    Status check_beginning() {
        if (found_.marker) {
            KLOG_TRY(check_set_of_marker(*found_.marker, set_, wal_dir_ + "/" + kCleanMarkerName));
        }
        if (set_.number == 0 && ids_.front() != 1) return refused_;
        if (candidates_.empty()) return {};
        const WalFileState& oldest = candidates_.front();
        if (oldest.info.header.wal_id != set_.sealed.wal_id + 1) return {};
        return check_follows_sealed(oldest, set_);
    }

    Status check_links() {
        std::vector<WalFileState> linked;
        for (WalFileState& state : candidates_) {
            const WalFileHeader& header = state.info.header;
            const bool follows =
                header.previous_wal_id + 1 == header.wal_id &&
                (header.wal_id == 1 || header.previous_end >= kWalFileHeaderBytes) &&
                (linked.empty() || header.incarnation >= linked.back().info.header.incarnation);
            if (follows) {
                linked.push_back(std::move(state));
            } else {
                damaged(header.wal_id,
                        state.info.path + ": the header does not follow on the files before it");
            }
        }
        candidates_ = std::move(linked);
        return {};
    }

    // How far a file was synced, where something says so.
    struct KnownEnd {
        std::uint64_t offset = 0;
        std::uint32_t chain = 0;
    };
    [[nodiscard]] std::optional<KnownEnd> known_end(std::size_t i) const {
        const WalFileHeader& header = candidates_[i].info.header;
        if (i + 1 < candidates_.size()) {
            const WalFileHeader& newer = candidates_[i + 1].info.header;
            if (newer.wal_id != header.wal_id + 1) return std::nullopt;
            return KnownEnd{newer.previous_end, newer.previous_chain};
        }
        const auto& marker = found_.marker;
        if (!marker || marker->wal_id != header.wal_id ||
            marker->incarnation != header.incarnation) {
            return std::nullopt;
        }
        return KnownEnd{marker->end, marker->chain};
    }

    Status settle_end(std::size_t i) {
        WalFileState state = candidates_[i];
        const std::uint64_t id = state.info.header.wal_id;
        const bool newest = id == ids_.back();
        state.info.closed = !newest;
        KLOG_TRY_ASSIGN(const auto file, env_.open(state.info.path, OpenMode::read));
        KLOG_TRY_ASSIGN(const std::uint64_t size, file->size());
        const auto known = known_end(i);
        if (known && !newest && size >= known->offset) {
            // What lies in it is checked when it is read, as ever.
            state.info.end = known->offset;
            state.end_chain = known->chain;
            found_.files.push_back(std::move(state));
            return {};
        }
        std::uint64_t synced = known ? known->offset : 0;
        if (!known) {
            KLOG_TRY_ASSIGN(const WalTail tail, scan_wal_tail(*file, state, size));
            synced = tail.watermark;
        }
        KLOG_TRY_ASSIGN(const Prefix prefix,
                        sound_prefix(env_, state, known ? std::min(size, synced) : size));
        state.info.end = prefix.end;
        state.end_chain = prefix.chain;
        if (size < synced) {
            damaged(id, state.info.path + ": the file ends at offset " + std::to_string(size) +
                            ", but " + std::to_string(synced) + " bytes of it were synced");
        } else if (prefix.end < synced) {
            damaged(id, prefix.why.empty()
                            ? state.info.path + ": damaged at offset " + std::to_string(prefix.end)
                            : prefix.why);
        } else if (known && prefix.chain != known->chain) {
            damaged(id, state.info.path + ": it does not end as it was closed");
            return {};
        }
        found_.files.push_back(std::move(state));
        return {};
    }

    void note_gaps() {
        std::uint64_t expected = set_.sealed.wal_id + 1;
        const auto gap = [&](std::uint64_t upto) {
            if (upto <= expected) return;
            damaged(expected, upto == expected + 1 ? path_of(expected) + " is missing"
                                                   : path_of(expected) + " to " +
                                                         wal_file_name(upto - 1) + " are missing");
        };
        for (const std::uint64_t id : ids_) {
            gap(id);
            expected = id + 1;
        }
        const std::uint64_t incarnation =
            candidates_.empty() ? 0 : candidates_.back().info.header.incarnation;
        if (found_.marker && found_.marker->incarnation >= incarnation) {
            gap(found_.marker->wal_id + 1);
        } else if (ids_.empty()) {
            gap(expected + 1);  // behind what is sealed there always is one
        }
    }

    Env& env_;
    const std::string& wal_dir_;
    const SegmentSetState& set_;
    const Error& refused_;
    std::vector<std::uint64_t> ids_;  // of the files that are there and count, rising
    bool marked_ = false;
    std::vector<WalFileState> candidates_;  // whose headers are sound
    WalSalvage found_;
};

}  // namespace

Result<WalSalvage> salvage_wal(Env& env, const std::string& wal_dir, const SegmentSetState& set,
                               const Error& refused) {
    return Salvager(env, wal_dir, set, refused).run();
}

}  // namespace klog
