//! `unary run`: a keeper and its server. Whatever becomes of the server, nobody is refused.

mod activation;
mod deaths;
mod goaway;
mod kept;
mod keys;
mod load;
mod logs;
mod messages;
mod notify;
mod privileges;
mod reload;
mod status;
mod stop;
mod survive;
mod upgrade;
