// The XML of a list of objects and of an error.
#pragma once

#include <string>
#include <string_view>

namespace vitalsd::test::s3 {

/// An object in a page.
inline std::string contents(std::string_view key, std::string_view size = "7",
                            std::string_view modified = "2026-11-23T02:00:05.000Z") {
  return "<Contents><Key>" + std::string(key) + "</Key><LastModified>" + std::string(modified) +
         "</LastModified><Size>" + std::string(size) + "</Size></Contents>";
}
/// A page of a list.
inline std::string page(const std::string& inner) {
  return R"(<?xml version="1.0" encoding="UTF-8"?>)"
         R"(<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">)" +
         inner + "</ListBucketResult>";
}

/// An error response.
inline std::string error_xml(std::string_view code, std::string_view message = "") {
  return "<Error><Code>" + std::string(code) + "</Code><Message>" + std::string(message) +
         "</Message></Error>";
}

}  // namespace vitalsd::test::s3
