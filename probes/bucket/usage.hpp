// A count of the objects under a prefix, page by page. Pure.
#pragma once

#include "probes/net/s3.hpp"

#include <cstdint>
#include <string>

namespace vitalsd::bucket {

class Usage {
 public:
  /// Adds the next page. Returns whether the count has ended: with the last page, or with page
  /// `max_pages`.
  bool add(const net::S3Page& page, std::int64_t max_pages);

  /// The token of the next page; empty: the first page is next, or the count is complete.
  [[nodiscard]] const std::string& continuation() const { return continuation_; }

  [[nodiscard]] bool is_complete() const { return pages_ > 0 && continuation_.empty(); }
  [[nodiscard]] double objects() const { return objects_; }
  [[nodiscard]] double bytes() const { return bytes_; }
  [[nodiscard]] double pages() const { return static_cast<double>(pages_); }
  /// Unix time of the last page.
  [[nodiscard]] double ended_at() const { return ended_at_; }

 private:
  std::string continuation_;
  double objects_ = 0;
  double bytes_ = 0;
  std::int64_t pages_ = 0;
  double ended_at_ = 0;
};

}  // namespace vitalsd::bucket
