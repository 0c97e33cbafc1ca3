// Renders records, heartbeats and marks in the form that a reader asked for.
#ifndef KLOG_DAEMON_API_RECORD_WRITER_H
#define KLOG_DAEMON_API_RECORD_WRITER_H

#include <memory>
#include <string>

#include "base/assert.h"
#include "klog/log.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog::api {

// One thread at a time.
class RecordWriter {
public:
    virtual ~RecordWriter() = default;

    virtual void record(std::string& out, const RecordView& record) = 0;
    // Records as they are stored. Only where takes_blocks() says so.
    [[nodiscard]] virtual bool takes_blocks() const { return false; }
    virtual void block(std::string& /*out*/, const StoredBlock& /*block*/) {
        KLOG_ASSERT(takes_blocks());
    }
    // Whatever was begun in `out` is whole now. Called before `out` is sent, and before anything
    // but another record goes into it.
    virtual void close(std::string& out) = 0;
    // A mark where marks were asked for, else what keeps the connection alive.
    virtual void heartbeat(std::string& out, Seq read_to, bool head) = 0;
    // All that matches up to read_to was sent before; head: it is the newest seq.
    virtual void mark(std::string& out, Seq read_to, bool head) = 0;
    // The answer breaks off for a reason.
    virtual void failure(std::string& out, const Error& error) = 0;
    // The answer ends in good order. cut: there may be more of what was asked for.
    virtual void end(std::string& out, bool cut) = 0;
};

// NDJSON, or server-sent events.
[[nodiscard]] std::unique_ptr<RecordWriter> make_text_writer(bool events, bool marks);
// The frames of schemas/batch.md. batch_writer.cc.
[[nodiscard]] std::unique_ptr<RecordWriter> make_batch_writer();

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_RECORD_WRITER_H
