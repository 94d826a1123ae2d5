"""Mutation run: does a test notice when one comparison of a policy is turned round?"""
