// All published lines, ready to be sent: rendered once, when published, gathered by family at a
// scrape. Written by the probe loop, read by the web thread; a scrape sees every publish() whole or
// not at all.
//
// The lines of one owner in one family are a chunk. Chunks are mostly small and there are many
// (10,000 probes with a dozen families each), so they stand together in slabs of some 8 KiB, and a
// scrape sends slabs. It pins them, under the lock but in microseconds, and sends them as they
// stand; publishing into a pinned slab works on a copy of that slab.
#pragma once

#include "exporter/model/metric.hpp"
#include "exporter/model/text_format.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

class Exposition {
 public:
  using Owner = std::uint32_t;

  /// Chunks of at least this many bytes stand in a slab of their own.
  static constexpr std::size_t kSlabSize = 8 * 1024;
  /// So do those of this size that somebody keeps: it saves their copy.
  static constexpr std::size_t kKeptSize = 1024;

  /// Where an owner's lines in one family stand. Kept by the owner, written by publish() alone.
  struct Chunk {
    static constexpr std::uint32_t kNone = UINT32_MAX;
    std::uint32_t family = kNone;
    std::uint32_t slab = 0;
    std::uint32_t id = 0;
    [[nodiscard]] bool placed() const { return family != kNone; }
  };

  /// Sets the lines of one chunk, or removes it where there are none.
  struct Change {
    Chunk* chunk = nullptr;
    const MetricInfo* metric = nullptr;  ///< names the family of a chunk that is not yet placed
    std::string_view lines{};
    std::shared_ptr<const void> keeper{};  ///< if set: keeps `lines`, which need not be copied
  };

  /// A family that somebody else renders at each scrape (the process-wide metrics).
  struct Extra {
    std::string name;
    std::string help;
    Type type = Type::gauge;
    std::string lines;           ///< may hold several suffixes, as histograms do
    std::string_view type_name;  ///< "histogram"; empty: the name of `type`
  };

  /// What a page shows.
  struct Selection {
    bool readings = true;                   ///< false: facts only, as no reading can be trusted
    bool facts = true;                      ///< false, with readings: nothing but the extras
    std::optional<std::string_view> owner;  ///< one owner's lines only
  };

  /// What a scrape gets, as of one moment: what is published meanwhile does not change it.
  class Page;

  Exposition() = default;
  Exposition(const Exposition&) = delete;
  Exposition& operator=(const Exposition&) = delete;

  /// A new owner, named as its label `probe` is. Two owners never have one name at the same time.
  Owner add_owner(std::string name);
  /// Forgets the owner; its chunks must be gone.
  void remove_owner(Owner owner);
  [[nodiscard]] bool has_owner(std::string_view name) const;

  /// Applies all changes at once. Chunks and lines of `changes` must stay until it returns.
  void publish(Owner owner, std::span<Change> changes);

  /// The families that have lines, in the order of their names, `extras` among them, and the end of
  /// the page. The exposition must outlive it.
  [[nodiscard]] std::unique_ptr<const Page> page(Format format, const Selection& selection,
                                                 std::vector<Extra> extras) const;

 private:
  struct Entry {
    std::uint32_t id;
    Owner owner;
    std::uint32_t size;
  };
  struct Slab {
    std::string text;
    std::string_view kept;               // instead: the one chunk of a slab,
    std::shared_ptr<const void> keeper;  // whose lines this keeps
    std::vector<Entry> entries;
    std::uint32_t next_id = 0;
    int pins = 0;  // pages that show it; guarded by the mutex as all else

    [[nodiscard]] std::string_view view() const { return keeper ? kept : text; }
  };
  struct Family {
    const MetricInfo* metric;
    std::vector<std::shared_ptr<Slab>> slabs;  // null: a free place
    std::vector<std::uint32_t> free;           // those places
    std::uint32_t open = 0;                    // the slab that takes new small chunks
  };
  std::uint32_t family_of(const MetricInfo& metric);
  Slab& writable(Family& family, std::uint32_t slab);
  void place(Owner owner, Change& change);
  [[nodiscard]] std::pair<std::size_t, std::size_t> find(const Chunk& chunk) const;
  void replace(Owner owner, Change& change);
  void remove(Chunk& chunk);
  static std::uint32_t free_place(Family& family);
  static bool stands_alone(const Change& change);

  mutable std::mutex mutex_;
  std::vector<std::unique_ptr<Family>> families_;
  std::map<std::string_view, std::uint32_t> by_name_;  // into families_, in the page's order
  std::vector<std::string> owners_;                    // empty: a free place
  std::vector<Owner> free_owners_;
  std::map<std::string, Owner, std::less<>> owner_names_;
};

class Exposition::Page {
 public:
  Page(const Exposition& exposition, Format format, const Selection& selection,
       std::vector<Extra> extras);
  ~Page();
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;

  /// One after another they are the page. Valid as long as it lives.
  [[nodiscard]] std::span<const std::string_view> pieces() const { return pieces_; }
  /// Bytes of all of them.
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  struct View {  // a family, and its slabs among slabs_
    const MetricInfo* metric;
    std::size_t begin;
    std::size_t end;
  };

  void pin(const Selection& selection);
  void add_family(const View& family, Format format);
  void add_extra(Extra& extra, Format format);
  void add(std::string_view piece);

  const Exposition& exposition_;
  std::optional<Owner> owner_;  // whose lines alone it shows
  std::vector<View> families_;
  std::vector<std::shared_ptr<Slab>> slabs_;
  std::deque<std::string> texts_;  // what is no slab's: headers and extras
  std::vector<std::string_view> pieces_;
  std::size_t size_ = 0;
};

}  // namespace vitalsd
