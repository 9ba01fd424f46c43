//! The stages in order: this file reads as the table of contents.
