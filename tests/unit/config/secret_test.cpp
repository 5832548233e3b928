#include "config/secret.hpp"

#include <concepts>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>

#include "unit/support/temp_directory.hpp"
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace vitalsd::config {
namespace {

using test::TempDirectory;

// Only read() returns the text of a Secret.
template <class T>
concept Streamable = requires(std::ostream& out, const T& value) { out << value; };
static_assert(!Streamable<Secret>);
static_assert(!fmt::is_formattable<Secret>::value);
static_assert(!std::convertible_to<Secret, std::string> &&
              !std::convertible_to<Secret, std::string_view>);

std::string error_of(const Secret& secret) {
  const auto value = secret.read();
  return value ? "readable" : value.error();
}

TEST(Secret, IsEmptyWithoutASource) {
  const Secret none;
  EXPECT_FALSE(none);
  EXPECT_EQ(*none.read(), "");
}

TEST(Secret, KeepsEveryCharacterOfALiteral) {
  const Secret secret = Secret::literal(" p\n");
  EXPECT_TRUE(secret);
  EXPECT_EQ(*secret.read(), " p\n");
}

TEST(Secret, RemovesOneLineEndOfAFile) {
  const TempDirectory directory;
  for (const char* content : {"p w ", "p w \n", "p w \r\n"}) {
    EXPECT_EQ(*Secret::file(directory.file("secret", content)).read(), "p w ");
  }
  EXPECT_EQ(*Secret::file(directory.file("secret", "p\n\n")).read(), "p\n");
}

TEST(Secret, ReadsACredentialInTheCredentialsDirectory) {
  const TempDirectory directory;
  EXPECT_EQ(directory.file("db", "p w\n"), directory.path("db"));
  const Secret secret = Secret::credential("db");
  EXPECT_EQ(error_of(secret),
            "cannot read credential db: CREDENTIALS_DIRECTORY is not set; systemd sets it for "
            "LoadCredential=");
  setenv("CREDENTIALS_DIRECTORY", directory.path("").c_str(), 1);
  EXPECT_EQ(*secret.read(), "p w");
  EXPECT_THAT(error_of(Secret::credential("other")), testing::HasSubstr("No such file"));
  unsetenv("CREDENTIALS_DIRECTORY");
}

TEST(Secret, ReadsTheFileEachTime) {
  const TempDirectory directory;
  const Secret secret = Secret::file(directory.file("secret", "old"));
  EXPECT_EQ(*secret.read(), "old");
  EXPECT_EQ(directory.file("secret", "new"), directory.path("secret"));
  EXPECT_EQ(*secret.read(), "new");
}

TEST(Secret, NamesTheFileThatCannotBeRead) {
  const TempDirectory directory;
  const std::string missing = directory.path("missing");
  EXPECT_EQ(error_of(Secret::file(missing)),
            "cannot read " + missing + ": No such file or directory");
  EXPECT_EQ(error_of(Secret::file(directory.path(""))),
            "cannot read " + directory.path("") + ": Is a directory");
}

TEST(Secret, RefusesEmptyFiles) {
  const TempDirectory directory;
  for (const char* content : {"", "\n", "\r\n"}) {
    const std::string file = directory.file("secret", content);
    EXPECT_EQ(error_of(Secret::file(file)), file + " is empty");
  }
}

TEST(Secret, RefusesLargeFiles) {
  const TempDirectory directory;
  const std::string largest(64 * 1024, 's');
  EXPECT_EQ(*Secret::file(directory.file("secret", largest)).read(), largest);
  const std::string file = directory.file("secret", largest + "s");
  EXPECT_EQ(error_of(Secret::file(file)), "cannot read " + file + ": larger than 64 KiB");
}

TEST(Secret, ReadsRegularFilesOnly) {
  const TempDirectory directory;
  const std::string fifo = directory.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600),
            0);  // without a writer: a blocking open() would never return
  for (const std::string& path : {fifo, std::string("/dev/zero")}) {
    EXPECT_EQ(error_of(Secret::file(path)), "cannot read " + path + ": not a regular file");
  }
  EXPECT_EQ(directory.file("secret", "p w\n"), directory.path("secret"));
  std::filesystem::create_symlink("secret",
                                  directory.path("link"));  // like a mounted Kubernetes Secret
  EXPECT_EQ(*Secret::file(directory.path("link")).read(), "p w");
}

TEST(Secret, ReadsTheEnvironmentEachTime) {
  const char* const name = "VITALSD_TEST_SECRET";
  const Secret secret = Secret::environment(name);
  EXPECT_EQ(error_of(secret), "environment variable VITALSD_TEST_SECRET is not set");
  ASSERT_EQ(setenv(name, "", 1), 0);
  EXPECT_EQ(error_of(Secret::environment(name)),
            std::string("environment variable ") + name + " is empty");
  ASSERT_EQ(setenv(name, "value", 1), 0);
  EXPECT_EQ(*secret.read(), "value");
  unsetenv(name);
}

}  // namespace
}  // namespace vitalsd::config
