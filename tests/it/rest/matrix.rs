//! Who may do what: every operation of the API, asked by everybody in every tenant, and compared
//! with a table of what the reference allows; and who sees and changes what others have made.
mod cells;
mod escalation;
mod made;
mod open;
mod people;
mod table;
mod visibility;
