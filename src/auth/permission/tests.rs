//! The table against what clients expect of it.
use std::collections::BTreeSet;

use super::*;
use crate::auth::Role;

#[test]
fn every_permission_stands_once_and_none_is_missing() {
    let names: Vec<_> = given().map(|(name, _)| name).collect();
    let unique: BTreeSet<_> = names.iter().collect();
    assert_eq!((names.len(), unique.len()), (248, 248));
}

#[test]
fn roles_hold_what_they_should() {
    let held = |role: Role| given().filter(|(_, roles)| roles.has(role)).count();
    assert_eq!(held(Role::SysAdmin), 248);
    assert_eq!(held(Role::Manager), 171);
    assert_eq!(held(Role::User), 167);
    assert_eq!(held(Role::Operations), 142);
    assert_eq!(held(Role::Viewer), 99);
    assert_eq!(held(Role::Default), 17);
    assert!(Permission::DeploymentCreate.roles().has(Role::Operations));
    assert!(!Permission::BlueprintUpload.roles().has(Role::Operations));
    assert!(!Permission::CreateToken.roles().has(Role::Operations));
}
