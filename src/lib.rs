//! A load balancer in one thread and one poll loop.

pub mod balance;
pub mod base;
pub mod cli;
pub mod config;
pub mod demo;
pub mod get;
pub mod health;
pub mod http;
pub mod httpserver;
pub mod net;
pub mod observe;
pub mod proxy;
pub mod serve;
