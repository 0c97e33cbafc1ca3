// Every record of a log in a range of seqs, in order, filtered by nothing.
#ifndef KLOG_LOG_SCAN_H
#define KLOG_LOG_SCAN_H

#include "log/frame_source.h"
#include "segment/record_codec.h"

namespace klog {

// visit(const RecordView&) -> Status, for each record with after < seq <= upto. Views live during
// the call only. Errors: corrupt, io, and what visit returns.
template <class Visit>
Status for_each_record(FrameSource& source, Seq after, Seq upto, const FilterSet* filter,
                       Visit&& visit) {
    const ReadScope scope{filter, std::nullopt};
    while (after < upto) {
        KLOG_TRY_ASSIGN(const FrameSource::Found found,
                        source.find(Seq{after.value + 1}, filter != nullptr ? &scope : nullptr));
        if (!found.frame) {
            after = found.skipped_to;
            continue;
        }
        const FrameHeader& header = found.frame->header;
        RecordDecoder decoder(found.frame->payload(), header.first_seq, header.base_time,
                              header.count);
        RecordView record;
        for (;;) {
            KLOG_TRY_ASSIGN(const bool more, decoder.next(record));
            if (!more) break;
            if (record.seq <= after) continue;
            if (record.seq > upto) return {};
            KLOG_TRY(visit(record));
        }
        after = found.last_seq;
    }
    return {};
}

}  // namespace klog

#endif  // KLOG_LOG_SCAN_H
