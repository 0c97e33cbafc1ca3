#include "segment/wal_verify.h"

#include <algorithm>
#include <charconv>

#include "segment/record_codec.h"

namespace klog {

namespace {

Error not_after(const std::string& path, const std::string& older) {
    return {Code::corrupt, path + ": the header (offset 0) does not follow on " + older,
            "a part of the log was lost or belongs to another store; restore the directory from a "
            "copy"};
}

// A decoder does not know where its payload lies.
Error in_frame(const std::string& path, const FrameHeader& frame, Error error) {
    error.message = path + ": the frame at offset " + std::to_string(frame.offset) +
                    " has sound checksums, but: " + error.message;
    if (error.hint.empty()) error.hint = "keep a copy of the directory and report this";
    return error;
}

}  // namespace

std::optional<std::uint64_t> offset_named(const Error& error) {
    constexpr std::string_view kWord = "offset ";
    const std::size_t at = error.message.find(kWord);
    if (at == std::string::npos) return std::nullopt;
    const char* const first = error.message.data() + at + kWord.size();
    std::uint64_t offset = 0;
    const auto [end, wrong] =
        std::from_chars(first, error.message.data() + error.message.size(), offset);
    if (wrong != std::errc() || end == first) return std::nullopt;
    return offset;
}

void WalVerifier::set_sealed(std::shared_ptr<const SegmentSetState> set) {
    set_ = std::move(set);
    for (std::size_t log = 0; log < last_seqs_.size(); ++log) {
        const std::vector<SegmentEntry>& entries = set_->logs.at(log);
        if (!entries.empty()) last_seqs_.at(log) = entries.back().covered.last;
    }
}

void WalVerifier::check(std::uint64_t wal_id, std::optional<std::uint64_t> newer_id,
                        VerifiedFile& file) {
    file.kind = FileKind::wal;
    file.finding = FileFinding::sound;
    const std::uint64_t before = older_ ? older_->info.header.wal_id : 0;
    if (wal_id != (before != 0 || !set_ ? before : set_->sealed.wal_id) + 1) whole_ = false;
    Status checked = check_file(wal_id, newer_id, file);
    if (checked.ok()) return;
    whole_ = false;
    Error& error = checked.error();
    // A daemon may have given the room of a file that is sealed meanwhile to a new one.
    const Result<bool> there = env_.exists(wal_dir_ + "/" + wal_file_name(wal_id));
    if (error.code == Code::not_found || (there.ok() && !*there)) {
        file.finding = FileFinding::vanished;
        // What was read before that is counted where it stands now.
        file.bytes = 0;
        file.frames = 0;
        file.records = 0;
        return;
    }
    file.finding = FileFinding::damaged;
    file.offset = offset_named(error);
    // A header's damage names no place but the file's beginning.
    if (!file.offset && error.code == Code::corrupt) {
        file.offset = 0;
        error.message += " (offset 0)";
    }
    file.error = std::move(error);
}

Status WalVerifier::check_file(std::uint64_t wal_id, std::optional<std::uint64_t> newer_id,
                               VerifiedFile& file) {
    auto read = read_wal_header(env_, wal_dir_ + "/" + wal_file_name(wal_id), wal_id);
    if (!read.ok()) {
        older_.reset();
        return std::move(read).error();
    }
    WalFileState state = std::move(read).value();
    const std::string path = state.info.path;
    file.bytes = kWalFileHeaderBytes;
    const Status linked = check_link(state);
    older_ = state;
    KLOG_TRY(linked);
    KLOG_TRY_ASSIGN(const End end, find_end(state, newer_id));
    if (end.size < end.synced) {
        return wal_damage(
            path, end.size,
            "the file ends there, but " + std::to_string(end.synced) + " bytes of it were synced");
    }
    state.info.end = end.chain ? end.synced : end.size;
    state.end_chain = end.chain.value_or(0);
    KLOG_TRY_ASSIGN(const auto reader, make_wal_frame_reader(env_, state, kWalFileHeaderBytes));
    KLOG_TRY(read_synced(*reader, path, end, file));
    if (end.chain) return {};
    KLOG_TRY(read_tail(*reader, path, end, file));
    if (live_) {
        file.finding = FileFinding::growing;
    } else if (file.bytes_dropped > 0) {
        file.finding = FileFinding::torn_tail;
    }
    return {};
}

Status WalVerifier::check_link(const WalFileState& state) const {
    const WalFileHeader& header = state.info.header;
    if (!older_) {
        // Where a file is missing before it, or one is not sound, that is what has been said.
        const bool oldest = set_ && header.wal_id == set_->sealed.wal_id + 1;
        return oldest ? check_follows_sealed(state, *set_) : Status();
    }
    const WalFileHeader& older = older_->info.header;
    // Where a file is missing between the two, that is what has been said already.
    if (older.wal_id + 1 != header.wal_id) return {};
    const bool follows =
        header.previous_wal_id == older.wal_id && header.store_uuid == older.store_uuid &&
        header.incarnation >= older.incarnation && header.previous_end >= kWalFileHeaderBytes;
    return follows ? Status() : not_after(state.info.path, older_->info.path);
}

Result<WalVerifier::End> WalVerifier::find_end(const WalFileState& state,
                                               std::optional<std::uint64_t> newer_id) const {
    KLOG_TRY_ASSIGN(const auto file, env_.open(state.info.path, OpenMode::read));
    End end;
    KLOG_TRY_ASSIGN(end.size, file->size());
    const WalFileHeader& header = state.info.header;
    if (newer_id && *newer_id == header.wal_id + 1) {
        const auto newer =
            read_wal_header(env_, wal_dir_ + "/" + wal_file_name(*newer_id), *newer_id);
        // Where it is not sound, it is reported on its own, and this file speaks for itself.
        if (newer.ok() && newer->info.header.previous_wal_id == header.wal_id &&
            newer->info.header.store_uuid == header.store_uuid) {
            end.synced = newer->info.header.previous_end;
            end.chain = newer->info.header.previous_chain;
            return end;
        }
    }
    if (marker_ && marker_->wal_id == header.wal_id && marker_->incarnation == header.incarnation &&
        marker_->store_uuid == header.store_uuid) {
        end.synced = marker_->end;
        end.chain = marker_->chain;
        return end;
    }
    KLOG_TRY_ASSIGN(const WalTail tail, scan_wal_tail(*file, state, end.size));
    end.synced = tail.watermark;
    end.used = tail.used;
    return end;
}

// Everything below the end was synced, so whatever is wrong there is damage.
Status WalVerifier::read_synced(WalFrameReader& reader, const std::string& path, const End& end,
                                VerifiedFile& file) {
    while (reader.offset() < end.synced) {
        KLOG_TRY_ASSIGN(const auto frame, reader.next());
        if (!frame) break;
        KLOG_TRY(take(*frame, path, file));
    }
    if (reader.offset() != end.synced) {
        return wal_damage(path, end.synced, "the log was synced up to there, but no frame ends");
    }
    // The end itself: with a known chain this compares the last frame with it.
    if (end.chain) KLOG_TRY(reader.next());
    return {};
}

// What a crash may have torn, or a daemon is writing just now: sound frames as far as they go.
Status WalVerifier::read_tail(WalFrameReader& reader, const std::string& path, const End& end,
                              VerifiedFile& file) {
    std::uint64_t kept_to = end.synced;
    bool in_txn = false;
    while (reader.offset() < end.size) {
        auto next = reader.next();
        if (!next.ok()) {
            if (next.error().code != Code::corrupt) return std::move(next).error();
            break;
        }
        const Frame& frame = **next;
        const bool first = (frame.header.flags & FrameHeader::kTxnFirst) != 0;
        if (first == in_txn) {
            return wal_damage(path, frame.header.offset, "the frame breaks up a batch");
        }
        KLOG_TRY(take(frame, path, file));
        in_txn = (frame.header.flags & FrameHeader::kTxnLast) == 0;
        if (!in_txn) kept_to = reader.offset();
    }
    file.bytes_kept = kept_to - end.synced;
    if (end.used > kept_to) file.bytes_dropped = end.used - kept_to;
    return {};
}

// What is sealed and what is not yet make up one log.
Status WalVerifier::check_begin(const FrameHeader& header, const std::string& path) {
    const auto log = static_cast<std::size_t>(header.log_id);
    if (begun_.at(log)) return {};
    begun_.at(log) = true;
    if (!set_ || !whole_ || header.first_seq.value == last_seqs_.at(log).value + 1) return {};
    return {Error{Code::corrupt,
                  path + ": the frame at offset " + std::to_string(header.offset) +
                      " begins at seq " + std::to_string(header.first_seq.value) +
                      ", but the segments end at seq " + std::to_string(last_seqs_.at(log).value),
                  "restore wal/ and seg/ from the same copy"}};
}

Status WalVerifier::take(const Frame& frame, const std::string& path, VerifiedFile& file) {
    const FrameHeader& header = frame.header;
    if (header.count > 0) {
        Seq& last = last_seqs_[static_cast<std::size_t>(header.log_id)];
        if (header.first_seq <= last) {
            return wal_damage(path, header.offset,
                              "seq " + std::to_string(header.first_seq.value) +
                                  " stands behind seq " + std::to_string(last.value));
        }
        KLOG_TRY(check_begin(header, path));
        RecordDecoder decoder(frame.payload(), header.first_seq, header.base_time, header.count);
        RecordView record;
        while (true) {
            auto more = decoder.next(record);
            if (!more.ok()) return in_frame(path, header, std::move(more).error());
            if (!*more) break;
            ++file.records;
            if (!visit_) continue;
            Status visited = visit_(header.log_id, older_->info.header.hash_key, record);
            if (!visited.ok()) {
                return in_frame(path, header, std::move(visited).error());
            }
        }
        last = record.seq;
    }
    ++file.frames;
    file.bytes += frame.bytes.size();
    if (advanced_) advanced_(frame.bytes.size());
    return {};
}

}  // namespace klog
