// Renders records, heartbeats and marks in the form that a reader asked for.
#ifndef KLOG_DAEMON_API_RECORD_WRITER_H
#define KLOG_DAEMON_API_RECORD_WRITER_H

#include <string>

#include "daemon/json/record_json.h"
#include "klog/result.h"
#include "klog/types.h"

namespace klog::api {

// One thread at a time.
class RecordWriter {
public:
    RecordWriter(bool events, bool marks) : events_(events), marks_(marks) {}

    void record(std::string& out, const RecordView& record);
    // A mark where marks were asked for, else what keeps the connection alive: an empty line, or a
    // comment with the id up to which was looked.
    void heartbeat(std::string& out, Seq read_to, bool head) const;
    // All that matches up to read_to was sent before; head: it is the newest seq.
    void mark(std::string& out, Seq read_to, bool head) const;
    // The answer breaks off for a reason.
    void failure(std::string& out, const Error& error) const;

private:
    bool events_;
    bool marks_;
    json::TimeCache times_;
};

}  // namespace klog::api

#endif  // KLOG_DAEMON_API_RECORD_WRITER_H
