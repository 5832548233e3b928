#include "exporter/model/metric_table.hpp"

#include <map>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

struct Shelf {
  std::string name;
  double weight = 0;
  bool locked = false;
  std::optional<int> books{};
  std::map<std::string, int> by_language{};
};

constexpr MetricTable kShelves(
    MetricRow{Metric({.name = "shelf_weight", .help = "Weight of a shelf."}, "shelf"),
              [](const Shelf& shelf) { return shelf.weight; }},
    MetricRow{Metric({.name = "shelf_locked", .help = "Whether a shelf is locked."}, "shelf"),
              [](const Shelf& shelf) { return shelf.locked; }},
    MetricRow{Metric({.name = "shelf_books", .help = "Books on a shelf."}, "shelf"),
              [](const Shelf& shelf) { return shelf.books; }},
    MetricRow{
        Metric({.name = "shelf_language_books", .help = "Books by language."}, "shelf", "language"),
        [](const Shelf& shelf, auto put) {
          for (const auto& [language, count] : shelf.by_language) put(count, language);
        }});
constexpr Metric kDoors({.name = "library_doors", .help = "Doors of the library."});

constexpr auto kList = metric_list(kDoors, kShelves);
static_assert(kList.size() == 5);
static_assert(kList[0] == &kDoors);
static_assert(kList[1]->name == "shelf_weight");
static_assert(kList[4]->name == "shelf_language_books");
static_assert(kList[4]->label_count == 2);

std::string lines_of(const Shelf& shelf) {
  Part part;
  kShelves.add(part, shelf, shelf.name);
  Rendering out;
  std::size_t duplicates = 0;
  part.render(out, "", duplicates);
  return out.text;
}

TEST(MetricTableTest, AddsASampleForEachRow) {
  EXPECT_EQ(lines_of({.name = "a", .weight = 2.5, .locked = true, .books = 7}),
            "shelf_weight{shelf=\"a\"} 2.5\n"
            "shelf_locked{shelf=\"a\"} 1\n"
            "shelf_books{shelf=\"a\"} 7\n");
}

TEST(MetricTableTest, OmitsAValueThatIsUnknown) {
  EXPECT_EQ(lines_of({.name = "a"}),
            "shelf_weight{shelf=\"a\"} 0\n"
            "shelf_locked{shelf=\"a\"} 0\n");
}

TEST(MetricTableTest, AddsSamplesWithLabelsOfTheirOwn) {
  EXPECT_EQ(lines_of({.name = "a", .by_language = {{"de", 1}, {"en", 2}}}),
            "shelf_weight{shelf=\"a\"} 0\n"
            "shelf_locked{shelf=\"a\"} 0\n"
            "shelf_language_books{shelf=\"a\",language=\"de\"} 1\n"
            "shelf_language_books{shelf=\"a\",language=\"en\"} 2\n");
}

}  // namespace
}  // namespace vitalsd
