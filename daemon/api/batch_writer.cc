// Reads in the framed form: records as they are stored, in frames that are checked and skipped as a
// whole.
#include "daemon/api/record_writer.h"
#include "segment/batch_format.h"

namespace klog::api {
namespace {

class BatchWriter final : public RecordWriter {
public:
    void record(std::string& out, const RecordView& record) override {
        if (open_ &&
            open_->payload_bytes() + encoded_bytes_max(record) > kBatchPayloadBytesWanted) {
            close(out);
        }
        if (!open_) open_.emplace(out, record.seq, record.time);
        open_->add(record);
    }

    [[nodiscard]] bool takes_blocks() const override { return true; }

    void block(std::string& out, const StoredBlock& block) override {
        if (block.dictionary && block.dictionary != dictionary_) {
            BatchHeader header;
            header.type = BatchType::dictionary;
            append_batch_frame(out, header, *block.dictionary);
            dictionary_ = block.dictionary;
        }
        BatchHeader header;
        header.codec = static_cast<BatchCodec>(block.codec);
        header.payload_bytes = block.payload_bytes;
        header.count = static_cast<std::uint32_t>(block.count);
        header.first_seq = block.first_seq;
        header.base_time = block.base_time;
        append_batch_frame(out, header, block.bytes);
    }

    void close(std::string& /*out*/) override {
        if (!open_) return;
        open_->finish();
        open_.reset();
    }

    void heartbeat(std::string& out, Seq read_to, bool head) override { mark(out, read_to, head); }

    void mark(std::string& out, Seq read_to, bool head) override {
        BatchHeader header;
        header.type = BatchType::mark;
        header.first_seq = read_to;
        if (head) header.flags = BatchHeader::kAtHead;
        append_batch_frame(out, header, {});
    }

    void failure(std::string& out, const Error& error) override {
        const CodeInfo& info = code_info(error.code);
        BatchProblem problem;
        problem.status = static_cast<std::uint64_t>(info.http_status);
        problem.code = info.name;
        problem.message = error.message;
        BatchHeader header;
        header.type = BatchType::error;
        append_batch_frame(out, header, encode_batch_problem(problem));
    }

    void end(std::string& out, bool cut) override {
        BatchHeader header;
        header.type = BatchType::end;
        if (cut) header.flags = BatchHeader::kCut;
        append_batch_frame(out, header, {});
    }

private:
    std::optional<BatchRecords> open_;
    std::shared_ptr<const std::string> dictionary_;  // the last one that was sent
};

}  // namespace

std::unique_ptr<RecordWriter> make_batch_writer() { return std::make_unique<BatchWriter>(); }

}  // namespace klog::api
